"""What goes back: JSON, streams of server-sent events and of lines, and work that stops when the client is gone."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localai.api.dialect import shape
from localai.api.errors import narrow
from localai.api.visit import within
from localai.core.errors import Cancelled, LocalAIError

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds a stream waits for its first piece before it says 200: what fails earlier is a plain HTTP error."""
SILENCE = 10.0
"""Seconds without a piece after which a stream shows that it lives, before a proxy thinks otherwise."""

_UNWIND = 5.0
"""Seconds that cancelled work gets to clean up before its request goes on without it."""
_TURN = 0.002
"""Seconds after which a stream lets others run."""


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON; whatever orjson takes, its floats finite."""
    return Response(orjson.dumps(value), status_code=status, media_type="application/json", headers=headers)


async def attended(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled the moment the client disconnects.

    The body must have been read. Raises Cancelled after a disconnect, else whatever `work` raises.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_gone(request.receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=_UNWIND)
    return task.result()


async def _gone(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


def error_frame(error: LocalAIError) -> bytes:
    """An error as a server-sent event in OpenAI's shape."""
    return b"data: " + orjson.dumps(shape(error)) + b"\n\n"


def error_line(error: LocalAIError) -> bytes:
    """An error as a line of JSON."""
    return orjson.dumps(shape(error)) + b"\n"


class EventStream(Response):
    """Sends each item of `chunks` (whole frames) as it comes, and a comment after `silence` seconds without one.

    An error raised before the first item within `patience` seconds is raised to the caller, to become an HTTP
    error; a later one is written by `on_error` and ends the stream. When the client disconnects, `chunks` is
    cancelled and closed at once. `alive` is written into silences instead of the usual comment.
    """

    media_type = "text/event-stream"
    comment = b": keep-alive\n\n"
    default_error: Callable[[LocalAIError], bytes] = staticmethod(error_frame)

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        *,
        on_error: Callable[[LocalAIError], bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
        silence: float = SILENCE,
        alive: bytes | None = None,
    ) -> None:
        super().__init__(None, headers={"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._chunks = chunks
        self._on_error = on_error or self.default_error
        self._patience = patience
        self._silence = silence
        self._alive = self.comment if alive is None else alive
        self._begun = False
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        pump = asyncio.create_task(self._pump(send))
        watch = asyncio.create_task(_gone(receive))
        try:
            await self._attend(pump, watch, send)
        finally:
            watch.cancel()
            pump.cancel()
            await asyncio.wait((pump,), timeout=_UNWIND)
            await self._close()
        if not pump.cancelled() and (error := pump.exception()) is not None:
            await self._fail(error, scope, send)

    async def _pump(self, send: Send) -> None:
        """Send the pieces. Neither they nor `send` need ever wait, so others get their turn by the clock."""
        turn = self._last = time.monotonic()
        async for chunk in self._chunks:
            if not self._begun:
                await self._begin(send)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            self._last = time.monotonic()
            if self._last - turn > _TURN:
                await asyncio.sleep(0)
                turn = time.monotonic()
        if not self._begun:
            await self._begin(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _attend(self, pump: asyncio.Task[None], watch: asyncio.Task[None], send: Send) -> None:
        """Return when the stream has ended or the client has gone; meanwhile fill its silences."""
        self._last = time.monotonic()
        wait = min(self._patience, self._silence)
        while not (await asyncio.wait((pump, watch), timeout=wait, return_when=asyncio.FIRST_COMPLETED))[0]:
            silent = time.monotonic() - self._last
            if silent >= self._bearable():
                await self._begin(send)
                await self._say_alive(send)
                silent = 0.0
            wait = self._bearable() - silent

    def _bearable(self) -> float:
        """Seconds without a piece after which something has to be said."""
        return self._silence if self._begun else self._patience

    async def _say_alive(self, send: Send) -> None:
        self._last = time.monotonic()
        if self._alive:
            await send({"type": "http.response.body", "body": self._alive, "more_body": True})

    async def _begin(self, send: Send) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _close(self) -> None:
        """Close the generator; how that fails changes nothing for the client, so it is only logged."""
        try:
            await self._chunks.aclose()
        except Exception as error:  # noqa: BLE001 - see above
            narrow(error)

    async def _fail(self, error: BaseException, scope: Scope, send: Send) -> None:
        if not self._begun:
            raise error
        known = narrow(error)
        within(scope).error = known.code
        await send({"type": "http.response.body", "body": self._on_error(known), "more_body": False})


class LineStream(EventStream):
    """The same with one JSON document a line (NDJSON); silences are filled on demand only: many parse every line."""

    media_type = "application/x-ndjson"
    comment = b""
    default_error: Callable[[LocalAIError], bytes] = staticmethod(error_line)


def line(value: Any) -> bytes:
    """`value` as a line of NDJSON."""
    return orjson.dumps(value) + b"\n"
