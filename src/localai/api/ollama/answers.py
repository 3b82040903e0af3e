"""The handlers of what models answer: chat, generate, embed, embeddings."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from localai.api import visit
from localai.api.body import read
from localai.api.dialect import shape
from localai.api.merge import merge
from localai.api.ollama import chat, embed, generate, lines
from localai.api.ollama.chat import Answering, Asked
from localai.api.ollama.clock import Clock
from localai.api.ollama.embed import EmbedBody, EmbeddingsBody
from localai.api.ollama.lines import Ending, Lines
from localai.api.ollama.pieces import Form
from localai.api.ollama.turns import Turns
from localai.api.replies import LineStream, attended, json_reply, line
from localai.core.caller import Caller
from localai.core.errors import ContextLengthExceeded, LocalAIError
from localai.core.event import Event, Progress
from localai.core.model import Model
from localai.core.task import Chat, Raw, Task
from localai.service.media import Media
from localai.service.perform import Perform


def error_line(error: LocalAIError) -> bytes:
    """An error in the middle of a stream."""
    return line(shape(error, "ollama"))


class Answers:
    """Read a body, translate it, have it performed, translate the answer."""

    def __init__(self, perform: Perform, media: Media) -> None:
        self._perform = perform
        self._media = media

    async def chat(self, request: Request, caller: Caller) -> Response:
        """POST /api/chat."""
        clock = Clock()
        body = await read(request, chat.ChatBody)
        if not body.messages:
            return await self._load(request, caller, body, "chat", clock)
        wanted = await chat.asked(body, self._media)
        model = await self._choose(request, caller, body.asked, wanted.task)
        return await self._answer(request, caller, body, wanted, Form("chat", body.asked or model.name), clock)

    async def generate(self, request: Request, caller: Caller) -> Response:
        """POST /api/generate."""
        clock = Clock()
        body = await read(request, generate.GenerateBody)
        if body.empty:
            return await self._load(request, caller, body, "generate", clock)
        await self._perform.refresh()
        chats = body.asked is None or "chat" in self._perform.model(caller, body.asked).tasks
        wanted = await generate.asked(body, self._media, chats=chats)
        model = await self._choose(request, caller, body.asked, wanted.task)
        form = Form("generate", body.asked or model.name)
        given = wanted.task.prompt
        if body.raw or body.images or not isinstance(given, Chat | Raw):
            return await self._answer(request, caller, body, wanted, form, clock)
        turns = Turns(self._perform, caller, body.asked or _name(caller, model), wanted, given, body.context or ())
        task = msgspec.structs.replace(wanted.task, prompt=await attended(request, turns.prompt()))
        ending = turns.ending if wanted.keep_alive != 0 else None  # what is unloaded knows no tokens any more
        return await self._answer(request, caller, body, wanted._replace(task=task), form, clock, ending)

    async def embed(self, request: Request, caller: Caller) -> Response:
        """POST /api/embed."""
        clock = Clock()
        body = await read(request, EmbedBody)
        if not body.input:
            await self._load(request, caller, body, "embed", clock)
            return json_reply({"model": body.required, "embeddings": [], **clock.taken()})
        events, cut = await attended(request, self._embedded(request, caller, body, clock))
        head = {"model": body.asked, **({"truncated": cut} if cut else {}), **clock.taken()}
        return Response(embed.reply(events, head), media_type="application/json")

    async def embeddings(self, request: Request, caller: Caller) -> Response:
        """POST /api/embeddings."""
        clock = Clock()
        body = await read(request, EmbeddingsBody)
        if not body.prompt:
            await self._load(request, caller, body, "embed", clock)
            return json_reply({"embedding": []})
        events, _ = await attended(request, self._embedded(request, caller, body, clock))
        return Response(embed.reply_old(events), media_type="application/json")

    async def _answer(
        self,
        request: Request,
        caller: Caller,
        body: Answering,
        wanted: Asked,
        form: Form,
        clock: Clock,
        ending: Ending | None = None,
    ) -> Response:
        events = self._perform.stream(
            caller, body.asked, wanted.task, keep_alive=wanted.keep_alive, context=wanted.room
        )
        merged = merge([events])
        if not body.streamed:
            answer = lines.whole(merged, form, clock, ending, logprobs=wanted.logprobs)
            return json_reply(await attended(request, answer))
        written = lines.stream(merged, Lines(form, logprobs=wanted.logprobs), clock, ending)
        return LineStream(written, on_error=error_line, alive=line({**form.line(""), "done": False}))

    async def _embedded(
        self, request: Request, caller: Caller, body: EmbedBody | EmbeddingsBody, clock: Clock
    ) -> tuple[tuple[Event, ...], list[int]]:
        """The events of an embedding, and which of its inputs were cut because the client wants that."""
        task = embed.asked(body)
        model = await self._choose(request, caller, body.asked, task)

        async def perform(each: Task) -> tuple[Event, ...]:
            return await self._whole(caller, body, each, clock)

        try:
            return await perform(task), []
        except ContextLengthExceeded as error:
            if isinstance(body, EmbeddingsBody) or not body.truncate:
                raise ContextLengthExceeded(
                    f"{error.message} Or send `truncate: true` to /api/embed.", param=error.param
                ) from None
            (about,) = await self._perform.about([model])
            shorter, cut = await embed.shortened(task, about.context, perform)
            return await perform(shorter), cut

    async def _whole(
        self, caller: Caller, body: EmbedBody | EmbeddingsBody, task: Task, clock: Clock
    ) -> tuple[Event, ...]:
        events: list[Event] = []
        room = body.options.room if body.options is not None else None
        stream = self._perform.stream(caller, body.asked, task, keep_alive=body.keep_alive, context=room)
        async for batch in stream:
            clock.hear(batch)
            events += [event for event in batch if not isinstance(event, Progress)]
        return tuple(events)

    async def _load(
        self,
        request: Request,
        caller: Caller,
        body: Answering | EmbedBody | EmbeddingsBody,
        kind: str,
        clock: Clock,
    ) -> Response:
        """Load the model, or unload it when it is to be kept for no time; wait until that is done."""
        await self._perform.refresh()
        model = self._perform.model(caller, body.required)
        visit.of(request).model = model.name
        leaves = body.keep_alive == 0 and kind != "embed"
        if leaves:
            await attended(request, self._perform.unload(model))
        else:
            room = body.options.room if body.options is not None else None
            await attended(request, self._perform.load(model, keep_alive=body.keep_alive, context=room))
        form = Form("chat" if kind == "chat" else "generate", body.required)
        said = {"done": True, "done_reason": "unload" if leaves else "load"}
        return json_reply({**form.line(""), **said, **clock.taken()})

    async def _choose(self, request: Request, caller: Caller, name: str | None, task: Task) -> Model:
        """The model that will answer; its installed name is what metrics show."""
        await self._perform.refresh()
        model = self._perform.choose(caller, name, task)
        visit.of(request).model = model.name
        return model


def _name(caller: Caller, model: Model) -> str:
    """A name by which this caller may ask for a model that was chosen for it."""
    return next(filter(caller.allows, (model.name, *model.aliases)), model.name)
