"""The routes of the OpenAI dialect, with the reranking and tokenising routes that its clients expect beside it."""

from collections.abc import AsyncGenerator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from localai.api import visit
from localai.api.body import read
from localai.api.flow import collect, write
from localai.api.merge import Numbered, merge
from localai.api.openai import chat, completions, embeddings, models, rerank, tokenize
from localai.api.openai.head import head
from localai.api.openai.inputs import Input
from localai.api.replies import EventStream, attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.event import Event
from localai.core.model import Model
from localai.core.task import Detokenize, Generate, Task
from localai.service.media import Media
from localai.service.perform import Perform

RERANK_PATHS = ("/v1/rerank", "/v2/rerank", "/v1/reranking")
_TAG = "OpenAI"


def rows(perform: Perform, media: Media | None = None) -> list[Row]:
    """The rows of this dialect; without `media`, addresses of images are refused."""
    dialect = _Dialect(perform, media or Media())
    return [
        Row("GET", "/v1/models", dialect.models, "infer", "List the installed models", tag=_TAG),
        Row("GET", "/v1/models/{model:path}", dialect.model, "infer", "Describe a model", tag=_TAG),
        Row("POST", "/v1/chat/completions", dialect.chat, "infer", "Answer a conversation", chat.ChatBody, _TAG),
        Row("POST", "/v1/completions", dialect.complete, "infer", "Continue a text", completions.CompletionBody, _TAG),
        Row(
            "POST", "/v1/embeddings", dialect.embed, "infer", "Turn texts into vectors", embeddings.EmbeddingBody, _TAG
        ),
        *(
            Row("POST", path, dialect.rerank, "infer", "Order documents by relevance", rerank.RerankBody, _TAG)
            for path in RERANK_PATHS
        ),
        Row("POST", "/v1/tokenize", dialect.tokenize, "infer", "Turn text into tokens", tokenize.TokenizeBody, _TAG),
        Row(
            "POST",
            "/v1/detokenize",
            dialect.detokenize,
            "infer",
            "Turn tokens into text",
            tokenize.DetokenizeBody,
            _TAG,
        ),
    ]


class _Dialect:
    """The handlers: read a body, translate it, have it performed, translate the answer."""

    def __init__(self, perform: Perform, media: Media) -> None:
        self._perform = perform
        self._media = media

    async def models(self, request: Request, caller: Caller) -> Response:
        await self._perform.refresh()
        return json_reply(models.listing(self._perform.models(caller)))

    async def model(self, request: Request, caller: Caller) -> Response:
        await self._perform.refresh()
        return json_reply(models.row(self._perform.model(caller, request.path_params["model"])))

    async def chat(self, request: Request, caller: Caller) -> Response:
        body = await read(request, chat.ChatBody)
        wanted = await chat.asked(body, self._media)
        first = head("chatcmpl", await self._choose(request, caller, body.model, wanted.tasks[0]))
        merged = self._run(caller, body.model, wanted.tasks, wanted.keep_alive)
        if wanted.stream:
            return EventStream(write(merged, wanted.chunks(first)))
        answers = await attended(request, collect(merged, len(wanted.tasks)))
        return json_reply(chat.reply(answers, first, wanted))

    async def complete(self, request: Request, caller: Caller) -> Response:
        body = await read(request, completions.CompletionBody)
        wanted = completions.asked(body)
        first = head("cmpl", await self._choose(request, caller, body.model, wanted.tasks[0]))

        echoes = await self._echoes(request, caller, body.model, wanted.echoes)
        merged = self._run(caller, body.model, wanted.tasks, wanted.keep_alive)
        if wanted.stream:
            return EventStream(write(merged, wanted.chunks(first, echoes)))
        answers = await attended(request, collect(merged, len(wanted.tasks)))
        return json_reply(completions.reply(answers, first, wanted, echoes))

    async def embed(self, request: Request, caller: Caller) -> Response:
        body = await read(request, embeddings.EmbeddingBody)
        task = embeddings.asked(body)
        model, events = await self._whole(request, caller, body.model, task)
        answer = await embeddings.reply(events, model.name, body.encoding_format)
        return Response(answer, media_type="application/json")

    async def rerank(self, request: Request, caller: Caller) -> Response:
        body = await read(request, rerank.RerankBody)
        task = rerank.asked(body)
        model, events = await self._whole(request, caller, body.model, task)
        return json_reply(rerank.reply(events, model.name, body, task))

    async def tokenize(self, request: Request, caller: Caller) -> Response:
        body = await read(request, tokenize.TokenizeBody)
        _, events = await self._whole(request, caller, body.model, tokenize.asked(body))
        return json_reply(tokenize.reply(events, body))

    async def detokenize(self, request: Request, caller: Caller) -> Response:
        body = await read(request, tokenize.DetokenizeBody)
        _, events = await self._whole(request, caller, body.model, tokenize.asked_back(body))
        return json_reply(tokenize.reply_back(events))

    async def _echoes(self, request: Request, caller: Caller, name: str | None, echoes: Sequence[Input]) -> list[str]:
        """The texts that choices start with; prompts given as token ids are written out by the model, each once."""
        known: dict[Input, str] = {text: text for text in echoes if isinstance(text, str)}
        for given in echoes:
            if given not in known and not isinstance(given, str):
                events = await attended(request, self._perform.whole(caller, name, Detokenize(ids=given)))
                known[given] = tokenize.text_of(events)
        return [known[given] for given in echoes]

    async def _choose(self, request: Request, caller: Caller, name: str | None, task: Task) -> Model:
        """The model that will answer; its installed name is what answers and metrics show."""
        await self._perform.refresh()
        model = self._perform.choose(caller, name, task)
        visit.of(request).model = model.name
        return model

    def _run(
        self, caller: Caller, name: str | None, tasks: tuple[Generate, ...], keep_alive: float | None
    ) -> AsyncGenerator[Numbered, None]:
        return merge([self._perform.stream(caller, name, task, keep_alive=keep_alive) for task in tasks])

    async def _whole(
        self, request: Request, caller: Caller, name: str | None, task: Task
    ) -> tuple[Model, tuple[Event, ...]]:
        model = await self._choose(request, caller, name, task)
        return model, await attended(request, self._perform.whole(caller, name, task))
