"""The responses API as a WebSocket: requests come as messages, events go as messages, one response at a time.

The last response of a connection is remembered there, so that it can be continued without being stored.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from localai.api.body import LARGE, parse
from localai.api.dialect import shape
from localai.api.errors import headers, narrow
from localai.api.responses.body import MessageBody
from localai.api.responses.respond import Responder
from localai.api.socket import LEAVING
from localai.api.visit import within
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, LocalAIError, Overloaded

if TYPE_CHECKING:
    from localai.api.responses.prompt import Local

AHEAD = 4
"""Messages of a connection that may wait for their turn."""
GRACE = 30.0
"""Seconds that what is under way gets to finish when the server leaves."""
IDLE = 3600.0
"""Seconds without a message and without work after which a connection is closed."""


class Talk:
    """One connection."""

    def __init__(self, socket: WebSocket, caller: Caller, responder: Responder, idle: float = IDLE) -> None:
        self._socket = socket
        self._caller = caller
        self._responder = responder
        self._idle = idle
        self._waiting: asyncio.Queue[str | bytes] = asyncio.Queue(AHEAD)
        self._last: Local | None = None
        self._rest = asyncio.Event()
        """Set while nothing is being answered."""
        self._rest.set()

    async def run(self) -> None:
        """Serve the connection to its end.

        When the client leaves, what is under way is cancelled; when the server leaves, it is finished.
        """
        await self._socket.accept()
        reading = asyncio.create_task(self._read())
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait((reading, working), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and reading.result() == LEAVING:
                await self._finish()
        finally:
            for task in (reading, working):
                task.cancel()
            await asyncio.gather(reading, working, return_exceptions=True)
        if self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(LEAVING if reading.done() and not reading.cancelled() else 1000)

    async def _finish(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._rest.wait()

    async def _read(self) -> int:
        """Take messages as they come, until the client or the server leaves; gives the code of the end."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return message.get("code", 1005)
            try:
                self._waiting.put_nowait(message.get("text") or message.get("bytes") or b"")
            except asyncio.QueueFull:
                await self._tell(Overloaded(f"{AHEAD} requests wait on this connection; wait for their answers."))

    async def _work(self) -> None:
        """Answer messages, one after the other."""
        while True:
            try:
                async with asyncio.timeout(self._idle):
                    message = await self._waiting.get()
            except TimeoutError:
                return
            self._rest.clear()
            await self._answer(message)
            self._rest.set()

    async def _answer(self, message: str | bytes) -> None:
        stream: str | None = None
        try:
            body = await _read(message)
            stream = body.stream_id
            async with aclosing(self._events(body)) as events:
                async for event in events:
                    await self._socket.send_text(_labelled(event, stream))
        except WebSocketDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is becomes an answer
            await self._tell(narrow(error), stream)

    async def _events(self, body: MessageBody) -> AsyncGenerator[bytes, None]:
        turn = await self._responder.prepare(self._caller, body, within(self._socket.scope), self._last)
        async with aclosing(turn.frames()) as told:
            async for frames in told:
                for frame in frames:
                    yield frame[frame.index(b"\ndata: ") + 7 : -2]
        if turn.response["status"] in {"completed", "incomplete"}:
            self._last = turn.local
        elif self._last is not None and body.previous_response_id == self._last.id:
            self._last = None

    async def _tell(self, error: LocalAIError, stream: str | None = None) -> None:
        told: dict[str, Any] = {"type": "error", "status": error.status, **shape(error)}
        told["error"]["headers"] = headers(error)
        if stream is not None:
            told["stream_id"] = stream
        await self._socket.send_text(orjson.dumps(told).decode())


async def _read(message: str | bytes) -> MessageBody:
    raw = message.encode() if isinstance(message, str) else message
    body, _ = await asyncio.to_thread(parse, raw, MessageBody) if len(raw) > LARGE else parse(raw, MessageBody)
    if body.background:
        raise InvalidRequest("A response on a WebSocket cannot run in the background.", param="background")
    return body


def _labelled(event: bytes, stream: str | None) -> str:
    if stream is None:
        return event.decode()
    return (event[:-1] + b',"stream_id":' + orjson.dumps(stream) + b"}").decode()
