"""The routes of the Anthropic dialect."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localai.api import visit
from localai.api.anthropic import body as bodies
from localai.api.anthropic import message
from localai.api.anthropic.batches import BatchBody, Batching
from localai.api.anthropic.models import named
from localai.api.anthropic.sources import Shelf, Sources
from localai.api.anthropic.stream import PING, Stream, error_frame
from localai.api.body import read
from localai.api.flow import collect, write
from localai.api.merge import merge
from localai.api.replies import EventStream, attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.errors import InternalError
from localai.core.event import Text, Tokens
from localai.core.model import Model
from localai.core.task import Render, Task, Tokenize
from localai.service.batches import Batches
from localai.service.media import Media
from localai.service.perform import Perform

_TAG = "Anthropic"
_LINES = ("application/x-jsonl",)
_COUNT: dict[str, Any] = {
    "type": "object",
    "required": ["input_tokens"],
    "properties": {"input_tokens": {"type": "integer"}},
}


def rows(
    perform: Perform, media: Media | None = None, files: Shelf | None = None, batches: Batches | None = None
) -> list[Row]:
    """The rows of this dialect.

    Args:
        perform: Answers the tasks.
        media: Gets images; without it, addresses are refused.
        files: What clients stored; without it, a block cannot name a file.
        batches: Runs message batches; without it, there are none.
    """
    dialect = _Dialect(perform, media or Media(), files)
    return [
        *([] if batches is None else _batched(Batching(batches))),
        Row(
            "POST",
            "/v1/messages",
            dialect.messages,
            "infer",
            "Answer a conversation",
            bodies.MessagesBody,
            _TAG,
            message.ANSWER,
        ),
        Row(
            "POST",
            "/v1/messages/count_tokens",
            dialect.count,
            "infer",
            "Count the tokens of a conversation",
            bodies.CountBody,
            _TAG,
            _COUNT,
        ),
        Row("GET", "/api/hello", _hello, "public", "Say that there is a server", tag=_TAG),
    ]


def _batched(batching: Batching) -> list[Row]:
    many, one = "/v1/messages/batches", "/v1/messages/batches/{batch}"
    return [
        Row("POST", many, batching.add, "infer", "Begin a message batch", BatchBody, _TAG),
        Row("GET", many, batching.page, "infer", "List message batches", tag=_TAG),
        Row("GET", one, batching.one, "infer", "Describe a message batch", tag=_TAG),
        Row("DELETE", one, batching.remove, "infer", "Forget a message batch", tag=_TAG),
        Row("POST", f"{one}/cancel", batching.cancel, "infer", "Cancel a message batch", tag=_TAG),
        Row(
            "GET", f"{one}/results", batching.results, "infer", "The results of a message batch", tag=_TAG, media=_LINES
        ),
    ]


async def _hello(request: Request, _caller: Caller) -> Response:
    return json_reply({"message": "hello"}, headers=named(request))


class _Dialect:
    """The handlers: read a body, translate it, have it performed, translate the answer."""

    def __init__(self, perform: Perform, media: Media, files: Shelf | None) -> None:
        self._perform = perform
        self._media = media
        self._files = files

    async def messages(self, request: Request, caller: Caller) -> Response:
        body = await read(request, bodies.MessagesBody)
        wanted = await bodies.asked(body, self._sources(caller))
        model = await self._choose(request, caller, body.model, wanted.task)
        identifier = message.new_id()
        stream = self._perform.stream(caller, body.model, wanted.task, keep_alive=wanted.keep_alive)
        if wanted.stream:
            return EventStream(
                write(merge([stream]), Stream(identifier, model.name, wanted)),
                on_error=lambda error: error_frame(error, visit.of(request).id),
                headers=named(request),
                alive=PING,
            )
        (answer,) = await attended(request, collect(merge([stream]), 1))
        return json_reply(message.reply(answer, identifier, model.name, wanted), headers=named(request))

    async def count(self, request: Request, caller: Caller) -> Response:
        body = await read(request, bodies.CountBody)
        task = Render(chat=await bodies.chat(body, self._sources(caller)))
        model = await self._choose(request, caller, body.model, task)
        name = body.model or next(name for name in (model.name, *model.aliases) if caller.allows(name))
        number = await attended(request, self._counted(caller, name, task))
        return json_reply({"input_tokens": number}, headers=named(request))

    async def _counted(self, caller: Caller, name: str, task: Render) -> int:
        """How many tokens the prompt has that the model would read: written by its template, cut by its tokenizer."""
        written = await self._perform.whole(caller, name, task)
        text = "".join(event.text for event in written if isinstance(event, Text))
        for event in await self._perform.whole(caller, name, Tokenize(text=text)):
            if isinstance(event, Tokens):
                return len(event.ids)
        raise InternalError("The engine gave no tokens.")

    def _sources(self, caller: Caller) -> Sources:
        return Sources(self._media, self._files, caller.owner)

    async def _choose(self, request: Request, caller: Caller, name: str | None, task: Task) -> Model:
        """The model that will answer; its installed name is what answers and metrics show."""
        await self._perform.refresh()
        model = self._perform.choose(caller, name, task)
        visit.of(request).model = model.name
        return model
