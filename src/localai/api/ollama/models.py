"""The handlers about models: what there is, and making, copying, fetching and removing them."""

from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from localai.api import visit
from localai.api.body import read
from localai.api.ollama import create, listing, pull, show
from localai.api.ollama.answers import error_line
from localai.api.ollama.create import Plan
from localai.api.ollama.fields import Named
from localai.api.ollama.pieces import Json
from localai.api.replies import LineStream, attended, json_reply, line
from localai.core.caller import Caller
from localai.core.errors import ModelNotFound
from localai.loader.name import LATEST
from localai.service.library import Library
from localai.service.manage import Manage
from localai.service.perform import Perform

VERSION = "0.20.0"
"""The version of Ollama whose API this is: clients compare it, as numbers between dots, to know what they may ask."""


class Models:
    """From HTTP to the services and back."""

    def __init__(self, perform: Perform, manage: Manage, library: Library) -> None:
        self._perform = perform
        self._manage = manage
        self._library = library

    async def version(self, request: Request, caller: Caller) -> Response:
        """GET /api/version."""
        return json_reply({"version": VERSION})

    async def tags(self, request: Request, caller: Caller) -> Response:
        """GET /api/tags."""
        await self._perform.refresh()
        return json_reply(listing.tags(await self._perform.about(self._perform.models(caller)), caller))

    async def running(self, request: Request, caller: Caller) -> Response:
        """GET /api/ps."""
        await self._perform.refresh()
        return json_reply(listing.running(await self._perform.about(self._perform.models(caller)), caller))

    async def show(self, request: Request, caller: Caller) -> Response:
        """POST /api/show."""
        body = await read(request, show.ShowBody)
        await self._perform.refresh()
        model = self._perform.model(caller, body.required)
        visit.of(request).model = model.name
        (about,) = await self._perform.about([model])
        return json_reply(show.reply(about, await self._library.licence(model)))

    async def pull(self, request: Request, caller: Caller) -> Response:
        """POST /api/pull; the installation goes on when the client leaves."""
        body = await read(request, pull.PullBody)
        return await _told(request, self._pulled(caller, body.required), pull.MANIFEST, stream=body.stream)

    async def push(self, request: Request, caller: Caller) -> Response:
        """POST /api/push."""
        await read(request, pull.PushBody)
        raise pull.refusal()

    async def create(self, request: Request, caller: Caller) -> Response:
        """POST /api/create."""
        body = await read(request, create.CreateBody)
        made = self._made(caller, body.required, create.planned(body))
        return await _told(request, made, {"status": "creating model"}, stream=body.stream)

    async def copy(self, request: Request, caller: Caller) -> Response:
        """POST /api/copy."""
        body = await read(request, create.CopyBody)
        await self._library.copy(caller, body.source, body.destination)
        return Response()

    async def delete(self, request: Request, caller: Caller) -> Response:
        """DELETE /api/delete."""
        body = await read(request, Named)
        await self._perform.refresh()
        found = self._perform.model(caller, body.required)
        same = body.required.removesuffix(LATEST) == found.name.removesuffix(LATEST)
        name = found.name if same else body.required
        await attended(request, self._manage.remove(caller, name))
        return Response()

    async def _pulled(self, caller: Caller, name: str) -> AsyncGenerator[Json, None]:
        if await self._is_installed(caller, name):
            yield pull.MANIFEST
            yield pull.SUCCESS
            return
        reference = pull.source(name)
        async for step in pull.steps(self._manage.pull(caller, reference, None, None), reference):
            yield step

    async def _made(self, caller: Caller, name: str, plan: Plan) -> AsyncGenerator[Json, None]:
        model = await self._library.create(caller, name, plan.draft)
        for digest in model.digests.values():
            yield {"status": f"using layer sha256:{digest}"}
        for note in plan.notes:
            yield {"status": note}
        yield {"status": "writing manifest"}
        yield pull.SUCCESS

    async def _is_installed(self, caller: Caller, name: str) -> bool:
        await self._perform.refresh()
        if ":/" in name or name.startswith(("pypi:", "file:")):
            return False
        try:
            self._perform.model(caller, name)
        except ModelNotFound:
            return False
        return True


async def _told(request: Request, steps: AsyncGenerator[Json, None], alive: Json, *, stream: bool | None) -> Response:
    """Steps as lines, with `alive` in their silences, or the last of them alone when `stream` is false."""
    if stream is False:
        return json_reply(await attended(request, _last(steps)))
    return LineStream(_lines(steps), on_error=error_line, alive=line(alive))


async def _lines(steps: AsyncIterator[Json]) -> AsyncGenerator[bytes, None]:
    async for step in steps:
        yield line(step)


async def _last(steps: AsyncIterator[Json]) -> Json:
    last: Json = {}
    async for step in steps:
        last = step
    return last
