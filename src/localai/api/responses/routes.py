"""The routes of the responses API."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from localai.api import visit
from localai.api.body import read
from localai.api.replies import EventStream, attended, json_reply
from localai.api.responses import conversations, paging
from localai.api.responses.body import CompactBody, Context, ResponseBody
from localai.api.responses.frames import Frames
from localai.api.responses.ladder import last
from localai.api.responses.parts import Files
from localai.api.responses.prompt import Prompts
from localai.api.responses.respond import Responder
from localai.api.responses.response import lost, page
from localai.api.responses.socket import Talk
from localai.api.responses.turn import Turn
from localai.api.responses.workshop import Workshop
from localai.api.table import Row, SocketRow
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.service.conversations import Conversations
from localai.service.media import Media
from localai.service.perform import Perform
from localai.service.responses import Responses
from localai.service.runs import Runs

_TAG = "Responses"


def responder(
    perform: Perform,
    responses: Responses,
    conversation: Conversations,
    media: Media | None = None,
    files: Files | None = None,
    workshop: Workshop | None = None,
) -> Responder:
    """What answers; without `media`, addresses of images are refused, without `files`, stored files.

    Without `workshop` there are no tools that this server calls itself.
    """
    prompts = Prompts(media or Media(), files, responses, conversation)
    return Responder(perform, prompts, responses, conversation, workshop)


def sockets(answering: Responder) -> list[SocketRow]:
    """The WebSocket of this dialect."""

    async def talk(socket: WebSocket, caller: Caller) -> None:
        await Talk(socket, caller, answering).run()

    return [SocketRow("/v1/responses", talk, "infer")]


def rows(answering: Responder, responses: Responses, conversation: Conversations, runs: Runs) -> list[Row]:
    """The rows of this dialect."""
    routes = _Routes(answering, responses, runs)
    one = "/v1/responses/{id}"
    return [
        Row("POST", "/v1/responses", routes.create, "infer", "Answer, and keep the answer", ResponseBody, _TAG),
        Row("POST", "/v1/responses/input_tokens", routes.count, "infer", "Count a prompt's tokens", Context, _TAG),
        Row("POST", "/v1/responses/compact", routes.compact, "infer", "Sum up a conversation", CompactBody, _TAG),
        Row("GET", one, routes.get, "infer", "A stored response, or the events of its stream", tag=_TAG),
        Row("DELETE", one, routes.delete, "infer", "Delete a stored response", tag=_TAG),
        Row("POST", f"{one}/cancel", routes.cancel, "infer", "End a response in the background", tag=_TAG),
        Row("GET", f"{one}/input_items", routes.items, "infer", "What a response was given", tag=_TAG),
        *conversations.rows(conversation),
    ]


class _Routes:
    """The handlers."""

    def __init__(self, responder: Responder, responses: Responses, runs: Runs) -> None:
        self._responder = responder
        self._responses = responses
        self._runs = runs

    async def create(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ResponseBody)
        turn = await self._responder.prepare(caller, body, visit.of(request))
        if body.background:
            return await self._background(caller, turn, stream=bool(body.stream))
        if body.stream:
            return EventStream(_joined(turn), on_error=turn.broken)
        return json_reply(await attended(request, turn.whole()))

    async def count(self, request: Request, caller: Caller) -> Response:
        body = await read(request, Context)
        tokens = await attended(request, self._responder.count(caller, body, visit.of(request)))
        return json_reply({"object": "response.input_tokens", "input_tokens": tokens})

    async def compact(self, request: Request, caller: Caller) -> Response:
        body = await read(request, CompactBody)
        return json_reply(await attended(request, self._responder.compact(caller, body, visit.of(request))))

    async def get(self, request: Request, caller: Caller) -> Response:
        identifier = request.path_params["id"]
        stream, after = paging.streamed(request), paging.starting_after(request)
        if not stream:
            return json_reply(await self._now(caller, identifier))
        journal = self._runs.journal(caller.owner, identifier)
        if journal is not None:
            return EventStream(journal.follow(-1 if after is None else after))
        return EventStream(_ended(await self._now(caller, identifier), after))

    async def delete(self, request: Request, caller: Caller) -> Response:
        identifier = request.path_params["id"]
        await self._runs.cancel(caller.owner, identifier)
        await self._responses.remove(caller.owner, identifier)
        self._runs.forget(caller.owner, identifier)
        return json_reply({"id": identifier, "object": "response", "deleted": True})

    async def cancel(self, request: Request, caller: Caller) -> Response:
        identifier = request.path_params["id"]
        response = await self._now(caller, identifier)
        if not response["background"]:
            raise InvalidRequest("Only a response that runs in the background can be cancelled.", param="id")
        await self._runs.cancel(caller.owner, identifier)
        return json_reply(await self._now(caller, identifier))

    async def items(self, request: Request, caller: Caller) -> Response:
        record = await self._responses.get(caller.owner, request.path_params["id"])
        found, more = paging.cut(record.input, paging.asked(request))
        return json_reply(page(found, more=more))

    async def _background(self, caller: Caller, turn: Turn, *, stream: bool) -> Response:
        self._runs.check()
        queued = turn.response["id"], await turn.queue()
        journal = self._runs.start(caller.owner, queued[0], turn, queued[1])
        return EventStream(journal.follow(-1)) if stream else json_reply(turn.response)

    async def _now(self, caller: Caller, identifier: str) -> dict[str, Any]:
        """A response as it is now; one that is stored as waiting while nobody works on it will never come."""
        work = self._runs.running(caller.owner, identifier)
        if work is not None:
            return work.response
        response = (await self._responses.get(caller.owner, identifier)).response
        return lost(response) if response["status"] == "queued" else response


async def _joined(turn: Turn) -> AsyncGenerator[bytes, None]:
    async with aclosing(turn.frames()) as told:
        async for frames in told:
            yield b"".join(frames)


async def _ended(response: dict[str, Any], after: int | None) -> AsyncGenerator[bytes, None]:
    """The events of a response whose stream is no longer kept: its end (and its beginning, if that is asked for)."""
    frames = Frames(0 if after is None else after + 1)
    if after is None:
        open_ends = dict.fromkeys(("usage", "completed_at", "error", "incomplete_details"))
        frames.say("response.created", response={**response, "status": "in_progress", "output": [], **open_ends})
    frames.say(last(response["status"]), response=response)
    yield b"".join(frames.take())
