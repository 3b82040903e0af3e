"""A worker whose process only sleeps: the test speaks in its place, over the socket it was given."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fleets import model
from localai import wire
from localai.core.errors import EngineCrashed, LocalAIError
from localai.core.event import Text
from localai.core.model import Loaded, Sizing
from localai.fleet.link import Stream
from localai.fleet.worker import Ended, Patience, Worker

SLEEP = ("sleep", "1000")
DEAF = ("sh", "-c", "trap '' TERM; : > deaf; sleep 1000")
"""Ignores SIGTERM once it has made this file in its folder."""


class Puppet:
    """The far end of a worker's socket, and what the worker calls."""

    def __init__(self, program: Sequence[str] = SLEEP) -> None:
        self.program = program
        self.calls: list[str] = []
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.connection = socket.socket()
        self._called = asyncio.Event()
        self._frames = wire.Deframer()
        self._heard: list[wire.ToWorker] = []

    def command(self, descriptor: int) -> Sequence[str]:
        """The command line of its process; its socket stays here too."""
        self.connection.close()
        self.connection = socket.socket(fileno=os.dup(descriptor))
        self.connection.setblocking(False)
        return self.program

    async def hear(self) -> wire.ToWorker:
        while not self._heard:
            reading = asyncio.get_running_loop().sock_recv(self.connection, 65536)
            data = await asyncio.wait_for(reading, 10)
            assert data, "the gateway hung up"
            self._heard += [wire.decode_to_worker(body) for body in self._frames.feed(data)]
        return self._heard.pop(0)

    def say(self, *messages: wire.ToGateway) -> None:
        self.connection.sendall(b"".join(map(wire.frame, messages)))

    def ready(self, memory: int = 1, slots: int = 1) -> None:
        self.say(wire.Ready(loaded=Loaded(tasks=("chat",), slots=slots, memory=memory)))

    def beat(self, progress: int = 0, memory: int = 1) -> None:
        self.say(wire.Beat(progress=progress, busy=0, memory=memory))

    def hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def called(self, what: str) -> None:
        self.calls.append(what)
        self._called.set()

    async def until(self, *calls: str) -> None:
        """Wait until exactly these calls have come, in this order."""
        await self.count(len(calls))
        assert self.calls == list(calls)

    async def count(self, calls: int) -> None:
        """Wait until so many calls have come."""
        async with asyncio.timeout(10):
            while len(self.calls) < calls:
                self._called.clear()
                await self._called.wait()

    async def end(self) -> Ended:
        """Wait until the process is gone."""
        async with asyncio.timeout(10):
            return await asyncio.shield(self._ended)

    async def beaten(self, *progress: int) -> None:
        """Beat, wait until all of it was heard, and find that the worker has not lost its patience."""
        before = len(self.calls)
        for each in progress:
            self.beat(each)
        await self.count(before + len(progress))
        assert "lost" not in self.calls

    def worker(self, run: Path, **patience: float) -> Worker:
        def end(_: Worker, ended: Ended) -> None:
            self.called("ended")
            self._ended.set_result(ended)

        return Worker(
            model(),
            Sizing(slots=3),
            run=run,
            command=self.command,
            patience=Patience(**patience),
            on_loaded=lambda _, loaded: self.called(f"loaded {loaded.memory}"),
            on_memory=lambda _, memory: self.called(f"memory {memory}"),
            on_lost=lambda _: self.called("lost"),
            on_ended=end,
        )


@asynccontextmanager
async def played(run: Path, program: Sequence[str] = SLEEP, **patience: float) -> AsyncGenerator[tuple[Worker, Puppet]]:
    """A worker and its puppet, which has heard that it is to load; no process is left."""
    puppet = Puppet(program)
    worker = puppet.worker(run, **patience)
    try:
        assert isinstance(await puppet.hear(), wire.Load)
        yield worker, puppet
    finally:
        worker.kill(EngineCrashed())
        await puppet.end()
        puppet.connection.close()


def later(seconds: float) -> None:
    """Put the clock of the running loop forward: what is due by then comes in its next turn."""
    loop = asyncio.get_running_loop()
    now = loop.time
    vars(loop)["time"] = lambda: now() + seconds


async def deaf(run: Path) -> None:
    """Wait until a DEAF process ignores SIGTERM."""
    async with asyncio.timeout(10):
        while not list(run.glob("*/deaf")):
            await asyncio.sleep(0.01)


async def code(stream: Stream) -> str:
    """The error that an answer ends with."""
    with pytest.raises(LocalAIError) as raised:
        await stream.batch()
    return raised.value.code


def item(stream: int, text: str) -> wire.Item:
    return wire.Item(stream=stream, event=Text(text=text))
