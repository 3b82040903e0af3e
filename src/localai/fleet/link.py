"""The gateway's end of a worker's socket: many streams over one connection, batches out, credit back.

What arrives in one read is handed out together: a reader is woken once for all events that came meanwhile, and credit
goes back once for half a window. A reader that stops reading stops its own stream only.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec

from localai import wire
from localai.core.errors import EngineCrashed, InternalError, LocalAIError, from_code
from localai.core.event import ENDS, Done, Event, Failed, Progress
from localai.core.task import Task

_HELD = 2 * wire.FRAME_LIMIT
"""Bytes a stream may hold unread; a worker that sends more is broken."""


class Stream:
    """One request's answer, as it comes in. Read by one reader."""

    def __init__(self, number: int, link: "Link", on_end: Callable[[], None]) -> None:
        self.number = number
        self.ended = False
        """The worker is done with it: its slot is free."""
        self.unread: Done | None = None
        """The end of an answer whose reader had left: it tells what was generated nevertheless."""
        self._link = link
        self._on_end = on_end
        self._events: list[Event] = []
        self._taken = 0
        """Items handed out or dropped for which no credit was given yet."""
        self._owed = wire.WINDOW
        """Items the worker may still send."""
        self._held = 0
        self._error: LocalAIError | None = None
        self._left = False
        self._wake: asyncio.Future[None] | None = None

    @property
    def starved(self) -> bool:
        """Whether the worker waits for this stream's reader, not the other way round."""
        return self._owed <= 0

    @property
    def silent(self) -> bool:
        """Whether nothing waits to be read but how far the request is."""
        return all(isinstance(event, Progress) for event in self._events)

    async def batch(self) -> tuple[Event, ...]:
        """Wait for the next events; the last one of all is Done.

        Calling it again says that the batch before is consumed.

        Raises:
            LocalAIError: The answer ended with this error. Nothing follows.
        """
        self._repay()
        while not self._events:
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        events = tuple(self._events)
        self._events.clear()
        self._held = 0
        self._taken += len(events)
        return events

    def leave(self) -> None:
        """Nobody reads any more: cancel it in the worker and drop what still comes."""
        if self._left:
            return
        self._left = True
        self._taken += len(self._events)
        self._events.clear()
        if not self.ended:
            self._link.send(wire.Cancel(stream=self.number))
            self._repay()

    def fail(self, error: LocalAIError) -> None:
        """End it for the reader with this error, unless it has ended; what came before is still read."""
        if self._error is None and not (self._events and isinstance(self._events[-1], Done)):
            self._error = error
            self._notify()

    def feed(self, event: Event, size: int) -> None:
        """Take an event of `size` bytes from the worker.

        Raises:
            InternalError: The worker sends more than it has credit for (the end of a cancelled stream needs none).
        """
        self._owed -= 1
        self._held += size
        if self._owed < -1 or self._held > _HELD:
            raise InternalError("The worker sent more than it may.")
        if isinstance(event, Failed):
            error = from_code(event.code, event.message, param=event.param, retry_after=event.retry_after)
            self.fail(error)
        elif self._left or self._error is not None:
            self._taken += 1
            self._held = 0
            if isinstance(event, Done):
                self.unread = event
            else:
                self._repay()
        else:
            self._events.append(event)
            self._notify()

    def end(self) -> None:
        """The worker is done with it."""
        if not self.ended:
            self.ended = True
            self._on_end()

    def _notify(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    def _repay(self) -> None:
        if not self.ended and (self._taken >= wire.WINDOW // 2 or (self._left and self._taken)):
            self._link.send(wire.Credit(stream=self.number, items=self._taken))
            self._owed += self._taken
            self._taken = 0


class Link(asyncio.Protocol):
    """The connection. Callbacks come on the event loop; `on_lost` before the streams end, so that none is opened."""

    def __init__(
        self,
        *,
        on_loaded: Callable[[wire.Ready | wire.Unable], None],
        on_beat: Callable[[wire.Beat], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._on_loaded = on_loaded
        self._on_beat = on_beat
        self._on_lost = on_lost
        self._deframer = wire.Deframer()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._writable = asyncio.Event()
        self._broken: LocalAIError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._writable.set()

    def pause_writing(self) -> None:
        """The worker does not read: new requests wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The worker reads again."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Hand out everything that is complete."""
        try:
            for body in self._deframer.feed(data):
                self._receive(wire.decode_to_gateway(body), len(body))
        except (InternalError, msgspec.MsgspecError):
            self.break_off(EngineCrashed("The process that runs this model sent something that makes no sense."))

    def connection_lost(self, exc: Exception | None) -> None:
        """End every stream at once."""
        self.break_off(EngineCrashed())
        self._transport = None

    def break_off(self, error: LocalAIError) -> None:
        """End every stream with this error and hang up; the first call's error counts."""
        if self._broken is not None:
            return
        self._broken = error
        self._on_lost()
        streams = tuple(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.fail(_again(error))
            stream.end()
        self._writable.set()
        if self._transport is not None:
            self._transport.abort()

    async def open(self, task: Task, on_end: Callable[[], None]) -> Stream:
        """Begin a request; `on_end` is called when the worker is done with it, whatever became of the reader.

        Raises:
            LocalAIError: The connection is gone, or the task is too large; `on_end` is not called then.
        """
        while not self._writable.is_set():
            await self._writable.wait()
        if self._broken is not None:
            raise _again(self._broken)
        self._last += 1
        frame = wire.frame(wire.Open(stream=self._last, task=task))
        stream = self._streams[self._last] = Stream(self._last, self, on_end)
        self._write(frame)
        return stream

    def fail(self, error: LocalAIError) -> None:
        """End every stream for its reader with this error, and cancel it in the worker."""
        for stream in tuple(self._streams.values()):
            stream.fail(_again(error))
            stream.leave()

    def send(self, message: wire.ToWorker) -> None:
        """Send a small message; nothing happens once the connection is gone."""
        self._write(wire.frame(message))

    def waits(self) -> bool:
        """Whether some stream waits for the worker, not for its own reader."""
        return any(not stream.starved for stream in self._streams.values())

    def _write(self, frame: bytes) -> None:
        if self._broken is None and self._transport is not None:
            self._transport.write(frame)

    def _receive(self, message: wire.ToGateway, size: int) -> None:
        match message:
            case wire.Item(stream=number, event=event):
                stream = self._streams.get(number)
                if stream is None:
                    raise InternalError("The worker answered a stream that is not open.")
                if isinstance(event, ENDS):
                    del self._streams[number]
                    stream.feed(event, size)
                    stream.end()
                else:
                    stream.feed(event, size)
            case wire.Beat():
                self._on_beat(message)
            case wire.Ready() | wire.Unable():
                self._on_loaded(message)


def _again(error: LocalAIError) -> LocalAIError:
    """A copy to raise: one exception raised in many tasks would gather all their tracebacks."""
    return from_code(error.code, error.message, param=error.param, retry_after=error.retry_after)
