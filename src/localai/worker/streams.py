"""The requests of a worker: each runs the engine in a thread, within the gateway's credit, and ends exactly once."""

import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

from localai import wire
from localai.core.errors import Cancelled, EngineCrashed, InternalError, LocalAIError, Overloaded, ShuttingDown
from localai.core.event import ENDS, Done, Event, Failed
from localai.core.task import Detokenize, Render, Task, Tokenize
from localai.engines.base import Engine
from localai.worker.link import Link

MOST = 1024
"""Streams open at a time; more are refused."""
_LIGHT = 4
"""Threads for what takes no slot (tokenising, templates), so that it never waits behind a long generation."""


class Stream:
    """One request under way."""

    def __init__(self, number: int, link: Link) -> None:
        self.stop = threading.Event()
        self._number = number
        self._link = link
        self._credit = wire.WINDOW
        self._wake = threading.Condition()
        self._finished = False

    def emit(self, event: Event) -> None:
        """Send an event once there is credit; drop it when nobody waits any more or the stream has ended."""
        if self._finished:
            return
        if isinstance(event, ENDS):
            self._finish(event)
            return
        if self._paid():
            try:
                self._link.send_item(wire.frame(wire.Item(stream=self._number, event=event)))
            except InternalError as error:
                self.stop.set()
                self._finish(_failed(error))

    def fail(self, error: LocalAIError) -> None:
        """End the stream with an error, unless it has ended."""
        self._finish(_failed(error))

    def add(self, items: int) -> None:
        """Take credit from the gateway."""
        with self._wake:
            self._credit += items
            self._wake.notify()

    def cancel(self) -> None:
        """Stop the engine and wake whoever waits for credit."""
        self.stop.set()
        with self._wake:
            self._wake.notify()

    def _paid(self) -> bool:
        """Wait for credit and spend one; False when the stream was cancelled instead."""
        with self._wake:
            while self._credit <= 0 and not self.stop.is_set():
                self._wake.wait()
            self._credit -= 1
        return not self.stop.is_set()

    def _finish(self, event: Done | Failed) -> None:
        if self._finished:
            return
        self._paid()
        self._finished = True
        self._link.send_item(wire.frame(wire.Item(stream=self._number, event=event)))


class Streams:
    """All requests of the connection, by number."""

    def __init__(self, link: Link, engine: Engine, *, slots: int) -> None:
        self.ended = threading.Event()
        """Set when the gateway asked for the shutdown."""
        self._link = link
        self._engine = engine
        self._running: dict[int, Stream] = {}
        self._waiting: dict[int, Task] = {}
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._heavy = ThreadPoolExecutor(slots, thread_name_prefix="run")
        self._light = ThreadPoolExecutor(_LIGHT, thread_name_prefix="light")

    def __len__(self) -> int:
        """How many requests are under way."""
        return len(self._running)

    def open(self, number: int, task: Task) -> None:
        """Begin a request.

        Raises:
            InternalError: The number is in use: the connection makes no sense any more.
        """
        stream = Stream(number, self._link)
        with self._lock:
            if number in self._running:
                raise InternalError("The gateway opened a stream twice.")
            if len(self._running) >= MOST or self.ended.is_set():
                stream.fail(ShuttingDown() if self.ended.is_set() else Overloaded())
                return
            self._running[number] = stream
            self._waiting[number] = task
            self._idle.clear()
        pool = self._light if isinstance(task, Tokenize | Detokenize | Render) else self._heavy
        pool.submit(self._run, number, stream)

    def cancel(self, number: int) -> None:
        """Nobody waits for this request any more; one that has not begun ends here. Unknown numbers have ended."""
        stream = self._running.get(number)
        if stream is None:
            return
        stream.cancel()
        with self._lock:
            waiting = self._waiting.pop(number, None)
        if waiting is not None:
            stream.fail(Cancelled())
            self._close(number)

    def credit(self, number: int, items: int) -> None:
        """The gateway has consumed items of this request."""
        stream = self._running.get(number)
        if stream is not None:
            stream.add(items)

    def shut(self) -> None:
        """Stop everything that runs; nothing new begins."""
        self.ended.set()
        for number in list(self._running):
            self.cancel(number)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no request runs; False when some still do after that time."""
        return self._idle.wait(seconds)

    def _run(self, number: int, stream: Stream) -> None:
        with self._lock:
            task = self._waiting.pop(number, None)
        if task is None:
            return
        try:
            answer(self._engine, stream, task)
        finally:
            self._close(number)

    def _close(self, number: int) -> None:
        with self._lock:
            del self._running[number]
            if not self._running:
                self._idle.set()


def answer(engine: Engine, stream: Stream, task: Task) -> None:
    """Run the engine on one task; whatever it does, the stream ends with exactly one Done or Failed."""
    try:
        engine.run(task, stream.emit, stream.stop)
    except LocalAIError as error:
        stream.fail(error)
    except Exception as error:  # noqa: BLE001 - an engine's bug must end one request, not the model
        report(error)
        stream.fail(InternalError())
    stream.fail(EngineCrashed("The engine stopped without finishing the answer."))


def report(error: BaseException) -> None:
    """Say on standard error what kind of error it was and where, never its text: that may hold a prompt."""
    where = traceback.extract_tb(error.__traceback__)
    lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in where]
    sys.stderr.write("\n".join([f"worker: {type(error).__name__}", *lines, ""]))
    sys.stderr.flush()


def _failed(error: LocalAIError) -> Failed:
    return Failed(code=error.code, message=error.message, param=error.param, retry_after=error.retry_after)
