"""A request on its way through the fleet: it waits, is granted a worker, has a stream, and is closed in any case."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Literal

from localai.core.errors import GenerationTimeout, LocalAIError
from localai.core.event import Progress
from localai.core.task import Task
from localai.fleet.link import Stream
from localai.fleet.state import Key
from localai.fleet.worker import Worker

if TYPE_CHECKING:
    from localai.core.event import Done, Event

Stage = Literal["queued", "loading"]


class GaveWay(LocalAIError):
    """A request in the background stopped, before its answer began, for another one; it is to be asked again."""


class Ticket:
    """Used on the event loop; `on_gone` is called once, when the worker (if there was one) is done with it."""

    def __init__(
        self,
        request: int,
        key: Key,
        name: str,
        on_gone: Callable[["Ticket"], None],
        *,
        light: bool = False,
        background: bool = False,
    ) -> None:
        self.light = light
        self.background = background
        self.firm = False
        """It gives way no more."""
        self.begun = asyncio.Event()
        """Its prompt is read: the answer has begun (or is over)."""
        self.request = request
        self.key = key
        self.name = name
        self._loop = asyncio.get_running_loop()
        self.since = self._loop.time()
        self.worker: Worker | None = None
        self._stage: Stage = "queued"
        self._error: LocalAIError | None = None
        self._news = asyncio.Event()
        self._stream: Stream | None = None
        self._gone = False
        self._on_gone = on_gone
        self._timer: asyncio.TimerHandle | None = None
        self.on_unread: Callable[[Done], None] | None = None
        """Told how an answer ended in the worker whose reader had left."""

    def enter(self, stage: Stage) -> None:
        """What it waits for changed."""
        self._stage = stage
        self._news.set()

    def grant(self, worker: Worker) -> None:
        """It may use this worker."""
        self.worker = worker
        self._news.set()

    def refuse(self, error: LocalAIError) -> None:
        """It gets this error instead; the fleet knows it no more."""
        self._error = error
        self._gone = True
        self._news.set()

    async def stages(self) -> AsyncGenerator[Stage, None]:
        """Wait for the grant, telling each new stage of the wait; nothing when there is no wait.

        Raises:
            LocalAIError: It was refused.
        """
        told: Stage | None = None
        while self.worker is None:
            if self._error is not None:
                raise self._error
            if self._stage != told:
                told = self._stage
                yield told
                continue
            self._news.clear()
            await self._news.wait()

    async def wait(self) -> Worker:
        """Wait for the grant.

        Raises:
            LocalAIError: It was refused.
        """
        async for _ in self.stages():
            pass
        if self.worker is None:
            raise self._error or LocalAIError()
        return self.worker

    async def open(self, task: Task, seconds: float) -> Stream:
        """Begin the task in the granted worker; after that many seconds it ends with an error.

        Raises:
            LocalAIError: The worker died meanwhile.
        """
        worker = await self.wait()
        self._stream = stream = await worker.link.open(task, self._end)
        self._timer = self._loop.call_later(seconds, self._expire, seconds)
        return stream

    def hear(self, batch: tuple["Event", ...]) -> None:
        """Note in the events whether the answer has begun."""
        if not all(isinstance(event, Progress) for event in batch):
            self.begun.set()

    def give_way(self) -> None:
        """Stop with GaveWay, unless the answer has begun."""
        stream = self._stream
        if stream is not None and not self.firm and not self.begun.is_set() and stream.silent:
            stream.fail(GaveWay())

    def close(self) -> None:
        """Nobody wants it any more. Call it in any case, any number of times."""
        self.begun.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._stream is not None:
            self._stream.leave()
        else:
            self._end()

    def _end(self) -> None:
        if not self._gone:
            self._gone = True
            if self.on_unread is not None and self._stream is not None and self._stream.unread is not None:
                self.on_unread(self._stream.unread)
            self._on_gone(self)

    def _expire(self, seconds: float) -> None:
        if self._stream is not None:
            message = f"The answer took longer than {seconds:g} seconds (the setting `request_timeout`) and was ended."
            self._stream.fail(GenerationTimeout(message))
            self._stream.leave()
