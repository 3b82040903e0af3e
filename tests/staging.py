"""The fleet's loop on a stage: its workers are puppets, and nothing else is made up."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fleets import model
from localai.core.errors import EngineCrashed
from localai.core.model import Memory, Sizing
from localai.fleet.loop import Loop
from localai.fleet.roster import Entry
from localai.fleet.state import Asked, Closing, Key, Limits, MemoryChanged, State, Unload
from localai.fleet.ticket import Ticket
from localai.fleet.worker import Patience
from localai.observe.metrics import Metrics
from puppet import SLEEP, Puppet


class Play:
    """A loop with 10 bytes of memory for models, whose workers are puppets."""

    def __init__(self, run: Path, program: Sequence[str], limits: Limits) -> None:
        self.program = program
        self.puppets: list[Puppet] = []
        self.metrics = Metrics()
        patience = Patience(goodbye=0.0)
        self.loop = Loop(limits=limits, patience=patience, run=run, command=self.command, metrics=self.metrics)
        self.loop.tell(MemoryChanged(budget=10))
        self._numbers = itertools.count(1)

    def command(self, descriptor: int) -> Sequence[str]:
        self.puppets.append(Puppet(self.program))
        return self.puppets[-1].command(descriptor)

    def key(self, name: str = "a") -> Key:
        return self.loop.roster.key(model(name))

    def ask(self, name: str = "a", *, need: int = 6, keep_alive: float = -1.0, left: bool = False) -> Ticket:
        """Ask for a model; one that has `left` is not there any more when it is its turn."""
        key = self.key(name)
        self.loop.roster.note(key, model(name), Sizing(memory=Memory(weights=need)))
        ticket = Ticket(next(self._numbers), key, name, self.loop.ended)
        if not left:
            self.loop.tickets[ticket.request] = ticket
        self.loop.tell(Asked(key=key, name=name, request=ticket.request, need=need, keep_alive=keep_alive))
        return ticket

    def unload(self, deadline: float) -> asyncio.Future[None]:
        request = next(self._numbers)
        future = self.loop.unloads[request] = asyncio.get_running_loop().create_future()
        self.loop.tell(Unload(name="a", request=request, deadline=deadline))
        return future

    def entry(self, name: str = "a") -> Entry:
        return self.loop.roster.entries[self.key(name)]

    def state(self, name: str = "a") -> State | None:
        seat = self.loop.fleet.seats.get(self.key(name))
        return seat.state if seat is not None else None

    def counted(self, series: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"localai_{series}", {"model": "a", **labels})

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not reached():
                self.loop.changed.clear()
                await self.loop.changed.wait()

    async def loaded(self, **asked: float) -> Ticket:
        """Ask for the model `a` and let it load."""
        ticket = self.ask(keep_alive=asked.get("keep_alive", -1.0))
        self.puppets[-1].ready()
        await asyncio.wait_for(ticket.wait(), 10)
        return ticket


@asynccontextmanager
async def staged(run: Path, program: Sequence[str] = SLEEP, **limits: float) -> AsyncGenerator[Play]:
    play = Play(run, program, Limits(**limits))  # pyright: ignore[reportArgumentType] - counts are whole
    try:
        yield play
    finally:
        play.loop.tell(Closing(now=True))
        for worker in play.loop.roster.workers():
            worker.kill(EngineCrashed())
        await play.until(lambda: not play.loop.roster.workers())
        play.loop.close()
        for puppet in play.puppets:
            puppet.connection.close()
