"""Takes a batch from its file of requests to its files of results, step by step; any step can be repeated."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from localai.core.caller import Caller
from localai.core.errors import LocalAIError, NotFound, ShuttingDown
from localai.observe.logs import get
from localai.service.files import Files
from localai.service.requests import Mistake, Requests
from localai.service.runner import Runner
from localai.storage.lines import Line, Lines, State
from localai.storage.objects import Objects, Stored

log = get("batches")

ACTIVE = 4
"""Batches that are run at a time; others wait for their turn."""
READING = 2
"""Files of requests that are read at a time."""
OUTPUT = 30 * 86400
"""Seconds for which the files of results are kept, unless something else is asked for."""
AGAIN = 30.0
"""Seconds after which a step is tried again that the disk or a quota refused."""
OPEN: Final = ("validating", "in_progress", "finalizing", "cancelling")
"""The states of a batch that has not ended."""

Write = Callable[[Line, str], bytes]
"""A line with its result, and the batch's id, as a line of the files of results."""


class Driver:
    """Drives batches, each in a task of its own."""

    def __init__(
        self,
        *,
        objects: Objects,
        lines: Lines,
        files: Files,
        runner: Runner,
        write: Write | None,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._objects = objects
        self._lines = lines
        self._files = files
        self._runner = runner
        self._write = write
        self._clock = clock
        self._pause = pause
        self._turns = asyncio.Semaphore(ACTIVE)
        self._reading = asyncio.Semaphore(READING)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Event] = {}

    def begin(self, stored: Stored) -> None:
        """Drive a batch from whatever state it is in."""
        identifier = stored.id
        self._stops[identifier] = asyncio.Event()
        task = self._tasks[identifier] = asyncio.create_task(self._drive(stored.owner, identifier))
        task.add_done_callback(lambda _: self._forget(identifier))

    def cancel(self, identifier: str) -> None:
        """Run no more lines of a batch, whose state says so already."""
        if identifier in self._stops:
            self._stops[identifier].set()

    async def stop(self) -> None:
        """Stop all work where it is."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def change(self, stored: Stored, state: str, **values: Any) -> bool:
        """Enter a state; False when the batch is no longer in the one it was in."""
        times = {**stored.payload["times"], state: self._clock()}
        payload = {**stored.payload, **values, "times": times}
        return await self._objects.change(stored.owner, stored.id, payload=payload, state=state, when=stored.state)

    async def results(self, owner: str, batch: str, states: Sequence[State]) -> AsyncGenerator[Line, None]:
        """The lines of a batch in order, only those in one of `states` when there are any."""
        after = 0
        while page := await self._lines.page(owner, batch, after=after, states=states):
            after = page[-1].number
            for line in page:
                yield line

    def _forget(self, identifier: str) -> None:
        self._tasks.pop(identifier, None)
        self._stops.pop(identifier, None)

    async def _drive(self, owner: str, identifier: str) -> None:
        while True:
            try:
                stored = await self._objects.get(owner, identifier)
                if stored.state not in OPEN:
                    return
                await self._step(stored)
            except (NotFound, ShuttingDown):
                return
            except LocalAIError as error:
                log.warning("batch step put off", batch=identifier, code=error.code)
                await self._pause(AGAIN)
            except Exception as error:  # noqa: BLE001 - a batch is never given up before its time
                log.failure("batch step failed", error, batch=identifier)
                await self._pause(AGAIN)

    async def _step(self, stored: Stored) -> None:
        match stored.state:
            case "validating":
                async with self._reading:
                    await self._validate(stored)
            case "in_progress":
                await self._run(stored)
            case _:
                await self._finish(stored)

    async def _validate(self, stored: Stored) -> None:
        await self._lines.remove(stored.owner, stored.id)
        requests = Requests(stored.payload["endpoint"])
        if self._clock() >= stored.payload["times"]["expires"]:
            mistake = Mistake(code="batch_expired", message="The file of requests could not be read in time.")
            await self.change(stored, "failed", errors=msgspec.to_builtins([mistake]), counts={})
            return
        try:
            file = await self._files.get(stored.owner, stored.payload["file"])
        except NotFound:
            requests.mistakes.append(Mistake(code="file_not_found", message="The file of requests is gone."))
        else:
            async with contextlib.aclosing(requests.read(self._files.blocks(file))) as groups:
                async for group in groups:
                    await self._lines.add(stored.owner, stored.id, group)
        if not requests.mistakes:
            await self.change(stored, "in_progress")
            return
        await self._lines.remove(stored.owner, stored.id)
        await self.change(stored, "failed", errors=msgspec.to_builtins(requests.mistakes), counts={})

    async def _run(self, stored: Stored) -> None:
        """Run until all is done, the time is over, or somebody cancels."""
        left = stored.payload["times"]["expires"] - self._clock()
        work = asyncio.create_task(self._in_turn(stored))
        stop = asyncio.create_task(self._stops[stored.id].wait())
        try:
            await asyncio.wait((work, stop), timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = work.done()
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
        if ended:
            work.result()
        elif not self._stops[stored.id].is_set():
            await self._lines.give_up(stored.owner, stored.id, "expired")
        await self.change(stored, "finalizing")

    async def _in_turn(self, stored: Stored) -> None:
        caller = msgspec.convert(stored.payload["caller"], Caller)
        async with self._turns:
            await self._runner.run(caller, stored.id, stored.payload["endpoint"])

    async def _finish(self, stored: Stored) -> None:
        if stored.state == "cancelling":
            await self._lines.give_up(stored.owner, stored.id, "cancelled")
        counts = await self._lines.counts(stored.owner, stored.id)
        state = "expired" if counts.get("expired") else "completed"
        state = "cancelled" if stored.state == "cancelling" else state
        files: dict[str, str | None] = {}
        if self._write is not None:
            files["output"] = await self._file(stored, self._write, "output", ("done",))
            files["error"] = await self._file(stored, self._write, "error", ("failed", "expired", "cancelled"))
        if await self.change(stored, state, counts=counts, **files) and self._write is not None:
            await self._lines.remove(stored.owner, stored.id)

    async def _file(self, stored: Stored, write: Write, name: str, states: Sequence[State]) -> str | None:
        """The id of the file of these results, which follows from the batch's: after a crash it is not made twice."""
        if not await self._lines.page(stored.owner, stored.id, limit=1, states=states):
            return None
        identifier = f"file-{hashlib.sha256(f'{stored.id}/{name}'.encode()).hexdigest()[:32]}"
        with contextlib.suppress(NotFound):
            return (await self._files.get(stored.owner, identifier)).id

        async def written() -> AsyncGenerator[bytes, None]:
            async for line in self.results(stored.owner, stored.id, states):
                yield write(line, stored.id) + b"\n"

        lifetime = stored.payload.get("lifetime") or OUTPUT
        label = f"{stored.id}_{name}.jsonl"
        await self._files.add(stored.owner, label, "batch_output", written(), lifetime, identifier=identifier)
        return identifier
