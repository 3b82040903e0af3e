"""The requests that batches may hold, answered whole and behind live traffic: each dialect's own translation."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

import orjson
from pydantic import BaseModel

from localai.api.body import LARGE, parse
from localai.api.files.keeping import Keeping
from localai.api.flow import collect
from localai.api.merge import Numbered, merge
from localai.api.openai import chat, completions, embeddings, rerank, tokenize
from localai.api.openai.documents import LIMIT
from localai.api.openai.head import head
from localai.api.openai.inputs import Input
from localai.api.responses.body import ResponseBody
from localai.api.responses.respond import Responder
from localai.api.visit import Visit, identifier
from localai.core.caller import Caller
from localai.core.event import Event
from localai.core.model import Model
from localai.core.task import Detokenize, Generate, Task
from localai.service.files import Files
from localai.service.media import Media
from localai.service.perform import Perform
from localai.service.runner import Performer

M = TypeVar("M", bound=BaseModel)


def performers(
    perform: Perform, media: Media, files: Files, keeping: Keeping, responder: Responder | None = None
) -> dict[str, Performer]:
    """Who answers the requests of a batch, by their endpoint; give what runs `behind` live traffic."""
    inner = _Inner(perform, media, files, keeping)
    found: dict[str, Performer] = {
        "/v1/chat/completions": inner.chat,
        "/v1/completions": inner.complete,
        "/v1/embeddings": inner.embed,
        "/v1/rerank": inner.rerank,
    }
    if responder is not None:
        found["/v1/responses"] = _Responding(responder).respond
    return found


class _Inner:
    """Answers without a connection: what would be streamed is collected."""

    def __init__(self, perform: Perform, media: Media, files: Files, keeping: Keeping) -> None:
        self._perform = perform
        self._keeping = keeping
        self._media = media
        self._files = files

    async def chat(self, caller: Caller, raw: bytes) -> bytes:
        body = await _parsed(raw, chat.ChatBody)

        async def stored(file: str) -> tuple[str, bytes]:
            found = await self._files.get(caller.owner, file)
            return str(found.payload["filename"]), await self._files.read(caller.owner, file, LIMIT)

        wanted = await chat.asked(body, self._media, stored)
        first = head("chatcmpl", await self._choose(caller, body.model, wanted.tasks[0]))
        kept = self._keeping.keep(caller, body, wanted, first, self._run(caller, body.model, wanted.tasks))
        return orjson.dumps(chat.reply(await collect(kept, len(wanted.tasks)), first, wanted))

    async def complete(self, caller: Caller, raw: bytes) -> bytes:
        body = await _parsed(raw, completions.CompletionBody)
        wanted = completions.asked(body)
        model = await self._choose(caller, body.model, wanted.tasks[0])
        echoes = [await self._echo(caller, body.model, given) for given in wanted.echoes]
        answers = await collect(self._run(caller, body.model, wanted.tasks), len(wanted.tasks))
        return orjson.dumps(completions.reply(answers, head("cmpl", model), wanted, echoes))

    async def embed(self, caller: Caller, raw: bytes) -> bytes:
        body = await _parsed(raw, embeddings.EmbeddingBody)
        model, events = await self._whole(caller, body.model, embeddings.asked(body))
        return await embeddings.reply(events, model.name, body.encoding_format)

    async def rerank(self, caller: Caller, raw: bytes) -> bytes:
        body = await _parsed(raw, rerank.RerankBody)
        task = rerank.asked(body)
        model, events = await self._whole(caller, body.model, task)
        return orjson.dumps(rerank.reply(events, model.name, body, task))

    async def _echo(self, caller: Caller, name: str | None, given: Input) -> str:
        """What a choice starts with; a prompt given as token ids is written out by the model."""
        if isinstance(given, str):
            return given
        return tokenize.text_of((await self._whole(caller, name, Detokenize(ids=given)))[1])

    async def _choose(self, caller: Caller, name: str | None, task: Task) -> Model:
        await self._perform.refresh()
        return self._perform.choose(caller, name, task)

    async def _whole(self, caller: Caller, name: str | None, task: Task) -> tuple[Model, tuple[Event, ...]]:
        model = await self._choose(caller, name, task)
        return model, await self._perform.whole(caller, name, task)

    def _run(self, caller: Caller, name: str | None, tasks: Sequence[Generate]) -> AsyncGenerator[Numbered, None]:
        return merge([self._perform.stream(caller, name, task) for task in tasks])


class _Responding:
    """Answers requests of the responses API."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    async def respond(self, caller: Caller, raw: bytes) -> bytes:
        body = await _parsed(raw, ResponseBody)
        turn = await self._responder.prepare(caller, body, Visit(identifier(None)))
        return orjson.dumps(await turn.whole())


async def _parsed(raw: bytes, kind: type[M]) -> M:
    return (await asyncio.to_thread(parse, raw, kind) if len(raw) > LARGE else parse(raw, kind))[0]
