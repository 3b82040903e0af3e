"""The routes of llama.cpp's server that its clients expect beside OpenAI's, and of its router."""

from collections.abc import AsyncGenerator
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from localai.api.asking import Asking
from localai.api.body import read
from localai.api.flow import collect, write
from localai.api.llamacpp import completion, events, props
from localai.api.openai.chat import ChatBody
from localai.api.openai.chat import asked as conversation
from localai.api.openai.fields import Body
from localai.api.openai.tokenize import text_of
from localai.api.readiness import Readiness
from localai.api.replies import EventStream, attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, Overloaded
from localai.core.event import Tokens
from localai.core.model import Model
from localai.core.task import Chat, Render, Tokenize
from localai.service.errands import Errands
from localai.service.manage import Manage
from localai.service.media import Media
from localai.service.perform import Perform

WATCHERS = 64
"""Clients that follow the events at a time."""
_TAG = "llama.cpp"
_EVENTS = ("text/event-stream",)

Name = Annotated[str, Field(min_length=1, max_length=4096)]


class ModelBody(Body):
    """Names a model; for a download, what to install (as `localai pull` takes it)."""

    model: Name


def rows(perform: Perform, manage: Manage, errands: Errands, media: Media, readiness: Readiness) -> list[Row]:
    """The rows."""
    native, router = _Native(perform, media), _Router(perform, manage, errands, readiness)
    return [
        Row("GET", "/health", native.health, "public", "Whether the server runs", tag=_TAG),
        Row("GET", "/v1/health", native.health, "public", "Whether the server runs", tag=_TAG, listed=False),
        Row("POST", "/completion", native.complete, "infer", "Continue a text", completion.CompletionBody, _TAG),
        Row("POST", "/infill", native.fill, "infer", "Fill a gap", completion.InfillBody, _TAG),
        Row("POST", "/apply-template", native.render, "infer", "Write a conversation as a prompt", ChatBody, _TAG),
        Row(
            "POST",
            "/v1/chat/completions/input_tokens",
            native.count,
            "infer",
            "Count the tokens of a conversation",
            ChatBody,
            _TAG,
        ),
        Row("GET", "/props", native.props, "infer", "The properties of a model", tag=_TAG),
        Row("GET", "/slots", native.slots, "infer", "What a loaded model is busy with", tag=_TAG),
        Row(
            "GET",
            "/models/sse",
            router.events,
            "infer",
            "What happens to models, as it happens",
            tag=_TAG,
            media=_EVENTS,
        ),
        Row("POST", "/models", router.install, "models", "Begin to install a model", ModelBody, _TAG),
        Row("DELETE", "/models", router.remove, "models", "Remove a model", tag=_TAG),
        Row("POST", "/models/load", router.load, "models", "Begin to load a model", ModelBody, _TAG),
        Row("POST", "/models/unload", router.unload, "models", "Unload a model", ModelBody, _TAG),
    ]


class _Native:
    """The handlers that ask one model."""

    def __init__(self, perform: Perform, media: Media) -> None:
        self._asking = Asking(perform)
        self._perform = perform
        self._media = media

    async def health(self, request: Request, caller: Caller) -> Response:
        return json_reply({"status": "ok"})

    async def complete(self, request: Request, caller: Caller) -> Response:
        body = await read(request, completion.CompletionBody)
        return await self._generate(request, caller, body.model, completion.completion(body))

    async def fill(self, request: Request, caller: Caller) -> Response:
        body = await read(request, completion.InfillBody)
        return await self._generate(request, caller, body.model, completion.infill(body))

    async def _generate(self, request: Request, caller: Caller, name: str | None, wanted: completion.Asked) -> Response:
        model = await self._asking.choose(request, caller, name, wanted.tasks[0])
        merged = self._asking.run(caller, name, wanted.tasks, wanted.keep_alive)
        if wanted.stream:
            return EventStream(write(merged, completion.Pieces(model.name, wanted)))
        answers = await attended(request, collect(merged, len(wanted.tasks)))
        return json_reply(completion.reply(answers, model.name, wanted))

    async def render(self, request: Request, caller: Caller) -> Response:
        _, prompt = await self._written(request, caller)
        return json_reply({"prompt": prompt})

    async def count(self, request: Request, caller: Caller) -> Response:
        name, prompt = await self._written(request, caller)
        events = await attended(request, self._perform.whole(caller, name, Tokenize(text=prompt)))
        found = next((event for event in events if isinstance(event, Tokens)), Tokens(ids=()))
        return json_reply({"object": "response.input_tokens", "input_tokens": len(found.ids)})

    async def _written(self, request: Request, caller: Caller) -> tuple[str | None, str]:
        """The model that the body names, and the conversation as that model's template writes it."""
        body = await read(request, ChatBody)
        prompt = (await conversation(body, self._media)).tasks[0].prompt
        assert isinstance(prompt, Chat), "a conversation is a Chat"  # noqa: S101 - a mistake of ours
        _, events = await self._asking.whole(request, caller, body.model, Render(chat=prompt))
        return body.model, text_of(events)

    async def props(self, request: Request, caller: Caller) -> Response:
        model = await self._asked(request, caller)
        found = () if model is None else await self._perform.about([model])
        return json_reply(props.properties(found[0] if found else None))

    async def slots(self, request: Request, caller: Caller) -> Response:
        model = await self._asked(request, caller)
        found = () if model is None else await self._perform.about([model])
        slots = props.slots(found[0]) if found else []
        free = any(not slot["is_processing"] for slot in slots)
        if request.query_params.get("fail_on_no_slot") and slots and not free:
            raise Overloaded("Every slot of this model is busy.", retry_after=1)
        return json_reply(slots)

    async def _asked(self, request: Request, caller: Caller) -> Model | None:
        """The model of the query; without one, the one that is loaded, else the first."""
        await self._perform.refresh()
        name = request.query_params.get("model")
        if name:
            return self._perform.model(caller, name)
        found = await self._perform.about(self._perform.models(caller))
        loaded = next((about.model for about in found if about.state == "ready"), None)
        return loaded or next((about.model for about in found), None)


class _Router:
    """The handlers that manage models."""

    def __init__(self, perform: Perform, manage: Manage, errands: Errands, readiness: Readiness) -> None:
        self._perform = perform
        self._manage = manage
        self._errands = errands
        self._readiness = readiness
        self._watchers = 0

    async def install(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ModelBody)
        await self._errands.install(caller, body.model, patience=0)
        return json_reply({"success": True})

    async def load(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ModelBody)
        await self._errands.load(caller, body.model)
        return json_reply({"success": True})

    async def unload(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ModelBody)
        await attended(request, self._manage.unload(caller, body.model))
        return json_reply({"success": True})

    async def remove(self, request: Request, caller: Caller) -> Response:
        name = request.query_params.get("model")
        if not name:
            raise InvalidRequest("Name the model in the query: `DELETE /models?model=NAME`.", param="model")
        await self._manage.remove(caller, name)
        return json_reply({"success": True})

    async def events(self, request: Request, caller: Caller) -> Response:
        if self._watchers >= WATCHERS:
            raise Overloaded(f"{WATCHERS} clients follow the events already.", retry_after=10)
        return EventStream(self._followed(caller))

    async def _followed(self, caller: Caller) -> AsyncGenerator[bytes, None]:
        self._watchers += 1
        try:
            async for told in events.events(self._perform, self._errands, caller, lambda: self._readiness.draining):
                yield told
        finally:
            self._watchers -= 1
