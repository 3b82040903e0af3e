"""The tools that our MCP server offers: what they take, what right they need, and what they do."""

import array
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from localai.api.answer import Answer
from localai.api.openai.fields import Body, Tokens, Whole
from localai.core.caller import Caller, Scope
from localai.core.errors import InvalidRequest, LocalAIError, from_code
from localai.core.event import Event, Score, Text, Vector
from localai.core.task import Chat, Embed, Generate, Message, Rerank, Sampling, TextPart
from localai.service.about import About
from localai.service.manage import Manage
from localai.service.perform import Perform

INPUTS = 256
"""Texts or documents of one call."""
TEXT = 2**20
"""Characters of one text."""

Report = Callable[[float, float | None], Awaitable[None]]
"""Tells the client how far a call is: done, and of how much where that is known."""

Name = Annotated[str, Field(min_length=1, max_length=512)]
Piece = Annotated[str, Field(min_length=1, max_length=TEXT)]
Json = dict[str, Any]


class NothingBody(Body):
    """No arguments."""


class ModelBody(Body):
    """One model."""

    model: Name = Field(description="Its name, or an alias.")


class TurnBody(Body):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=TEXT)]


class ChatBody(Body):
    """A question, or a conversation."""

    prompt: Piece | None = Field(default=None, description="What to ask; or give `messages`.")
    messages: Annotated[list[TurnBody], Field(min_length=1, max_length=1024)] | None = None
    system: Annotated[str, Field(max_length=TEXT)] | None = Field(default=None, description="Instructions put first.")
    model: Name | None = Field(default=None, description="Left out: the model loaded, else the first installed.")
    max_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None


class EmbedBody(Body):
    """Texts."""

    texts: Annotated[list[Piece], Field(min_length=1, max_length=INPUTS)]
    model: Name | None = None
    dimensions: Annotated[Whole, Field(ge=1, le=65536)] | None = None


class RerankBody(Body):
    """A question and documents that may answer it."""

    query: Piece
    documents: Annotated[list[Piece], Field(min_length=1, max_length=INPUTS)]
    model: Name | None = None


class LoadBody(Body):
    """A model to load."""

    model: Name
    keep_alive: Annotated[float, Field(ge=-1, le=10**9)] | None = Field(
        default=None, description="Seconds it stays loaded when idle; -1 for ever."
    )


class InstallBody(Body):
    """A model to install."""

    source: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="`starter`, `pypi:...`, `https://...`, `file:...`."
    )
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    sha256: Annotated[str, Field(max_length=80)] | None = None


class Offer(NamedTuple):
    """One tool. `does` gets the caller, the arguments and `Report`; `reads`: it changes nothing."""

    name: str
    summary: str
    scope: Scope
    body: type[Body]
    does: Callable[[Caller, Any, Report], Coroutine[Any, Any, Json]]
    reads: bool = True


class Tools:
    """All tools, and what they do."""

    def __init__(self, perform: Perform, manage: Manage) -> None:
        self._perform = perform
        self._manage = manage
        offers = (
            Offer("list_models", "List the installed models and what they can do.", "infer", NothingBody, self._list),
            Offer("describe_model", "Everything known of one model.", "infer", ModelBody, self._describe),
            Offer("chat", "Ask a local language model.", "infer", ChatBody, self._chat),
            Offer("embed", "Turn texts into vectors.", "infer", EmbedBody, self._embed),
            Offer("rerank", "Order documents by how well they answer.", "infer", RerankBody, self._rerank),
            Offer("load_model", "Load a model into memory.", "models", LoadBody, self._load, reads=False),
            Offer("unload_model", "Free a model's memory.", "models", ModelBody, self._unload, reads=False),
            Offer("install_model", "Download a model.", "models", InstallBody, self._install, reads=False),
        )
        self._offers = {offer.name: offer for offer in offers}

    def offers(self, caller: Caller) -> list[Offer]:
        """The tools this caller may call."""
        return [offer for offer in self._offers.values() if _may(caller, offer.scope)]

    def get(self, name: str) -> Offer | None:
        """The tool of that name, whoever may call it."""
        return self._offers.get(name)

    async def _list(self, caller: Caller, _body: NothingBody, _report: Report) -> Json:
        await self._perform.refresh()
        about = await self._perform.about(self._perform.models(caller))
        return {"models": [_row(one) for one in about]}

    async def _describe(self, caller: Caller, body: ModelBody, _report: Report) -> Json:
        await self._perform.refresh()
        (about,) = await self._perform.about([self._perform.model(caller, body.model)])
        header = about.header
        facts = {} if header is None else {"parameters": header.parameters, "quantisation": header.quantisation}
        return {**_row(about), "engine": about.model.engine, "size": about.model.size, **facts}

    async def _chat(self, caller: Caller, body: ChatBody, report: Report) -> Json:
        task = Generate(
            prompt=Chat(messages=_conversation(body)),
            sampling=Sampling(temperature=body.temperature),
            max_tokens=body.max_tokens,
        )
        await self._perform.refresh()
        model = self._perform.choose(caller, body.model, task)
        answer, pieces = Answer(), 0
        async with aclosing(self._perform.stream(caller, model.name, task)) as batches:
            async for batch in batches:
                for event in batch:
                    answer.hear(event)
                pieces += sum(isinstance(event, Text) for event in batch)
                await report(pieces, None)
        usage = answer.done.usage
        return {
            "text": answer.text,
            "model": model.name,
            "finish": answer.done.finish,
            "usage": {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion},
        }

    async def _embed(self, caller: Caller, body: EmbedBody, _report: Report) -> Json:
        task = Embed(inputs=tuple(body.texts), dimensions=body.dimensions)
        await self._perform.refresh()
        model = self._perform.choose(caller, body.model, task)
        events = await self._perform.whole(caller, model.name, task)
        vectors = sorted((event for event in events if isinstance(event, Vector)), key=lambda one: one.index)
        return {"model": model.name, "vectors": [_numbers(vector.data) for vector in vectors]}

    async def _rerank(self, caller: Caller, body: RerankBody, _report: Report) -> Json:
        task = Rerank(query=body.query, documents=tuple(body.documents))
        await self._perform.refresh()
        model = self._perform.choose(caller, body.model, task)
        return {"model": model.name, "results": _scores(await self._perform.whole(caller, model.name, task))}

    async def _load(self, caller: Caller, body: LoadBody, _report: Report) -> Json:
        return await self._manage.load(caller, body.model, body.keep_alive)

    async def _unload(self, caller: Caller, body: ModelBody, _report: Report) -> Json:
        await self._manage.unload(caller, body.model)
        return {"unloaded": body.model}

    async def _install(self, caller: Caller, body: InstallBody, report: Report) -> Json:
        name = ""
        async for step in self._manage.pull(caller, body.source, body.name, body.sha256):
            if step.error is not None:
                raise from_code(step.code or LocalAIError.code, step.error)
            await report(step.done, step.total or None)
            name = step.name or name
        return {"installed": name}


def _may(caller: Caller, scope: Scope) -> bool:
    return scope in caller.scopes or "admin" in caller.scopes


def _row(about: About) -> Json:
    model = about.model
    return {
        "name": model.name,
        "aliases": list(model.aliases),
        "tasks": list(model.tasks),
        "context": about.context or None,
        "state": about.state or "installed",
    }


def _conversation(body: ChatBody) -> tuple[Message, ...]:
    if (body.prompt is None) is (body.messages is None):
        raise InvalidRequest("Give either `prompt` or `messages`.", param="prompt")
    system = [] if body.system is None else [TurnBody(role="system", content=body.system)]
    turns = body.messages or [TurnBody(role="user", content=body.prompt or "")]
    return tuple(Message(role=turn.role, content=(TextPart(text=turn.content),)) for turn in (*system, *turns))


def _scores(events: tuple[Event, ...]) -> list[Mapping[str, float]]:
    scores = sorted((event for event in events if isinstance(event, Score)), key=lambda one: -one.score)
    return [{"index": one.index, "score": one.score} for one in scores]


def _numbers(data: bytes) -> list[float]:
    numbers = array.array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
