"""The routes of the OpenAI dialect, with the reranking and tokenising routes that its clients expect beside it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from localai.api.asking import Asking
from localai.api.body import read
from localai.api.flow import collect, write
from localai.api.merge import Numbered
from localai.api.openai import chat, completions, embeddings, fim, judging, rerank, shelf, tokenize
from localai.api.openai.chat import Asked
from localai.api.openai.documents import LIMIT, Stored
from localai.api.openai.head import Head, head
from localai.api.openai.inputs import Input
from localai.api.replies import EventStream, attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.task import Detokenize
from localai.service.files import Files
from localai.service.manage import Manage
from localai.service.media import Media
from localai.service.perform import Perform

RERANK_PATHS = ("/v1/rerank", "/v2/rerank", "/v1/reranking")
_TAG = "OpenAI"

Keep = Callable[[Caller, chat.ChatBody, Asked, Head, AsyncGenerator[Numbered, None]], AsyncGenerator[Numbered, None]]
"""Passes the events of an answer on, and stores it at its end when the client asks for that."""


def rows(
    perform: Perform,
    media: Media | None = None,
    *,
    files: Files | None = None,
    manage: Manage | None = None,
    keep: Keep | None = None,
) -> list[Row]:
    """The rows of this dialect.

    Args:
        perform: Answers tasks.
        media: Gets images; without it, addresses of images are refused.
        files: Keeps what clients stored; without it, a message cannot name a file by its id.
        manage: Removes models; without it, they cannot be.
        keep: Stores answers that are to be; without it, none are.
    """
    media = media or Media()
    dialect = _Dialect(perform, media, files, keep)
    posts = (
        ("/v1/chat/completions", dialect.chat, "Answer a conversation", chat.ChatBody),
        ("/v1/completions", dialect.complete, "Continue a text", completions.CompletionBody),
        ("/v1/fim/completions", dialect.fill, "Write what is between two texts", fim.FimBody),
        ("/v1/embeddings", dialect.embed, "Turn texts into vectors", embeddings.EmbeddingBody),
        *((path, dialect.rerank, "Order documents by relevance", rerank.RerankBody) for path in RERANK_PATHS),
        ("/v1/tokenize", dialect.tokenize, "Turn text into tokens", tokenize.TokenizeBody),
        ("/v1/detokenize", dialect.detokenize, "Turn tokens into text", tokenize.DetokenizeBody),
    )
    return [
        *shelf.rows(perform, manage),
        *(Row("POST", path, handler, "infer", summary, body, _TAG) for path, handler, summary, body in posts),
        *judging.rows(perform, media),
    ]


class _Dialect:
    """The handlers: read a body, translate it, have it performed, translate the answer."""

    def __init__(self, perform: Perform, media: Media, files: Files | None, keep: Keep | None) -> None:
        self._keep = keep
        self._asking = Asking(perform)
        self._media = media
        self._files = files

    async def chat(self, request: Request, caller: Caller) -> Response:
        body = await read(request, chat.ChatBody)
        wanted = await chat.asked(body, self._media, self._stored(caller))
        keep = None if self._keep is None else partial(self._keep, caller, body, wanted)
        return await self._generate(request, caller, body.model, wanted, "chatcmpl", keep)

    async def fill(self, request: Request, caller: Caller) -> Response:
        body = await read(request, fim.FimBody)
        return await self._generate(request, caller, body.model, fim.asked(body), "fim")

    async def _generate(
        self,
        request: Request,
        caller: Caller,
        name: str | None,
        wanted: Asked,
        prefix: str,
        keep: Callable[[Head, AsyncGenerator[Numbered, None]], AsyncGenerator[Numbered, None]] | None = None,
    ) -> Response:
        first = head(prefix, await self._asking.choose(request, caller, name, wanted.tasks[0]))
        merged = self._asking.run(caller, name, wanted.tasks, wanted.keep_alive)
        merged = merged if keep is None else keep(first, merged)
        if wanted.stream:
            return EventStream(write(merged, wanted.chunks(first)))
        answers = await attended(request, collect(merged, len(wanted.tasks)))
        return json_reply(chat.reply(answers, first, wanted))

    async def complete(self, request: Request, caller: Caller) -> Response:
        body = await read(request, completions.CompletionBody)
        wanted = completions.asked(body)
        first = head("cmpl", await self._asking.choose(request, caller, body.model, wanted.tasks[0]))
        echoes = await self._echoes(request, caller, body.model, wanted.echoes)
        merged = self._asking.run(caller, body.model, wanted.tasks, wanted.keep_alive)
        if wanted.stream:
            return EventStream(write(merged, wanted.chunks(first, echoes)))
        answers = await attended(request, collect(merged, len(wanted.tasks)))
        return json_reply(completions.reply(answers, first, wanted, echoes))

    async def embed(self, request: Request, caller: Caller) -> Response:
        body = await read(request, embeddings.EmbeddingBody)
        task = embeddings.asked(body)
        model, events = await self._asking.whole(request, caller, body.model, task)
        answer = await embeddings.reply(events, model.name, body.encoding_format)
        return Response(answer, media_type="application/json")

    async def rerank(self, request: Request, caller: Caller) -> Response:
        body = await read(request, rerank.RerankBody)
        task = rerank.asked(body)
        model, events = await self._asking.whole(request, caller, body.model, task)
        return json_reply(rerank.reply(events, model.name, body, task))

    async def tokenize(self, request: Request, caller: Caller) -> Response:
        body = await read(request, tokenize.TokenizeBody)
        _, events = await self._asking.whole(request, caller, body.model, tokenize.asked(body))
        return json_reply(tokenize.reply(events, body))

    async def detokenize(self, request: Request, caller: Caller) -> Response:
        body = await read(request, tokenize.DetokenizeBody)
        _, events = await self._asking.whole(request, caller, body.model, tokenize.asked_back(body))
        return json_reply(tokenize.reply_back(events))

    async def _echoes(self, request: Request, caller: Caller, name: str | None, echoes: Sequence[Input]) -> list[str]:
        """The texts that choices start with; prompts given as token ids are written out by the model, each once."""
        known: dict[Input, str] = {text: text for text in echoes if isinstance(text, str)}
        for given in echoes:
            if given not in known and not isinstance(given, str):
                _, events = await self._asking.whole(request, caller, name, Detokenize(ids=given))
                known[given] = tokenize.text_of(events)
        return [known[given] for given in echoes]

    def _stored(self, caller: Caller) -> Stored | None:
        """Gets files of this caller by their ids."""
        files = self._files
        if files is None:
            return None

        async def stored(identifier: str) -> tuple[str, bytes]:
            file = await files.get(caller.owner, identifier)
            return str(file.payload["filename"]), await files.read(caller.owner, identifier, LIMIT)

        return stored
