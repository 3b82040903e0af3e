"""Batches: many requests that are run beside live traffic, outlive a restart, and end with a result each."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from localai.core.caller import Caller
from localai.core.errors import Conflict, LocalAIError, RateLimited
from localai.observe.logs import get
from localai.service.driver import OPEN, Driver, Write
from localai.service.files import Files
from localai.service.runner import Performer, Runner
from localai.storage.database import Database
from localai.storage.lines import Line, Lines, State
from localai.storage.objects import Objects, Stored
from localai.storage.owned import EVERYONE

log = get("batches")

UNFINISHED = 100
"""Batches of one owner that have not ended."""
KEPT = 30 * 86400.0
"""Seconds after its end for which a batch is remembered."""
SWEEP = 3600.0
"""Seconds between two looks for batches whose time is over."""


class Batches:
    """The batches of all owners, of one kind.

    The payload of one holds what it was made with, and: `times` (Unix seconds by state, and `expires`), `errors`
    (mistakes of its file), `counts` of its lines by state once it has ended, `output` and `error` (ids of its files).
    """

    def __init__(
        self,
        *,
        database: Database,
        files: Files,
        performers: Mapping[str, Performer],
        write: Write | None = None,
        kind: str = "batch",
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            database: Knows the batches and their lines.
            files: Where requests come from and results go.
            performers: Who answers, by endpoint.
            write: Makes the lines of the files of results; without it there are none, and the lines are kept for as
                long as the batch is.
            kind: Their kind among the stored objects; also how their ids begin.
            clock: Unix seconds.
            pause: Waits for so many seconds.
        """
        self._objects = Objects(database, kind, "batch", clock)
        self._lines = Lines(database)
        self._files = files
        self._runner = Runner(self._lines, performers, pause=pause)
        self._driver = Driver(
            objects=self._objects,
            lines=self._lines,
            files=files,
            runner=self._runner,
            write=write,
            clock=clock,
            pause=pause,
        )
        self._kind = kind
        self._clock = clock
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that requests of a batch may have."""
        return self._runner.endpoints

    async def start(self) -> None:
        """Go on with what a stopped or killed server left."""
        for state in OPEN:
            after, more = None, True
            while more:
                found, more = await self._objects.page(EVERYONE, state=state, after=after, limit=1000, order="asc")
                after = found[-1].id if found else None
                for stored in found:
                    self._driver.begin(stored)
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Stop all work; it goes on after the next start."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._driver.stop()

    async def add(
        self,
        caller: Caller,
        endpoint: str,
        *,
        file: str | None = None,
        requests: Sequence[tuple[str, str]] = (),
        window: float,
        details: Mapping[str, Any],
    ) -> Stored:
        """Begin a batch, of the requests in a file or of these (name and JSON body each).

        Args:
            caller: Who asks; each request is made with the rights this caller has now.
            endpoint: One of `endpoints`.
            file: The id of a file of requests.
            requests: The requests themselves.
            window: Seconds after which what has not run is given up.
            details: Kept in the payload as they are.

        Raises:
            NotFound: There is no such file.
            RateLimited: The owner has too many batches under way.
        """
        if file is not None:
            await self._files.get(caller.owner, file)
        for state in OPEN:
            if len((await self._objects.page(caller.owner, state=state, limit=UNFINISHED))[0]) >= UNFINISHED:
                raise RateLimited(f"{UNFINISHED} batches are under way; wait until one has ended.", retry_after=60)
        now = self._clock()
        identifier = f"{self._kind}_{secrets.token_hex(16)}"
        many = [(number, name, body) for number, (name, body) in enumerate(requests, 1)]
        payload = {
            **details,
            "endpoint": endpoint,
            "file": file,
            "caller": msgspec.to_builtins(caller),
            "times": {"created": now, "expires": now + window} | ({} if file else {"in_progress": now}),
        }
        state = "validating" if file else "in_progress"
        stored = await self._objects.add(caller.owner, identifier, payload, state=state, expires=now + window + KEPT)
        await self._lines.add(caller.owner, identifier, many)
        self._driver.begin(stored)
        return stored

    async def get(self, owner: str, id: str) -> Stored:  # noqa: A002 - the column's name
        """One batch.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        return await self._objects.get(owner, id)

    async def page(self, owner: str, **asked: Any) -> tuple[list[Stored], bool]:
        """A page of batches; see `Objects.page`."""
        return await self._objects.page(owner, **asked)

    async def counts(self, stored: Stored) -> dict[State, int]:
        """How many of its lines are in each state."""
        kept = stored.payload.get("counts")
        return kept if kept is not None else await self._lines.counts(stored.owner, stored.id)

    async def cancel(self, owner: str, id: str) -> Stored:  # noqa: A002
        """Run no more lines of a batch; what has a result keeps it.

        Raises:
            NotFound: There is none, or it is somebody else's.
            Conflict: It has ended already.
        """
        while True:
            stored = await self._objects.get(owner, id)
            if stored.state in ("cancelling", "cancelled"):
                return stored
            if stored.state not in ("validating", "in_progress"):
                raise Conflict(f"This batch cannot be cancelled: it is `{stored.state}`.", param="id")
            if await self._driver.change(stored, "cancelling"):
                self._driver.cancel(id)
                return await self._objects.get(owner, id)

    async def remove(self, owner: str, id: str) -> None:  # noqa: A002
        """Forget a batch that has ended, with its lines; its files stay.

        Raises:
            NotFound: There is none, or it is somebody else's.
            Conflict: It has not ended.
        """
        stored = await self._objects.get(owner, id)
        if stored.state in OPEN:
            raise Conflict("This batch has not ended; cancel it first.", param="id")
        await self._objects.remove(owner, id)
        await self._lines.remove(owner, id)

    async def results(self, owner: str, id: str, states: Sequence[State] = ()) -> AsyncGenerator[Line, None]:  # noqa: A002
        """The lines of a batch in order, only those in one of `states` when there are any.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        await self._objects.get(owner, id)
        async for line in self._driver.results(owner, id, states):
            yield line

    async def _sweep(self) -> None:
        while True:
            try:
                for stored in await self._objects.expire():
                    await self._lines.remove(stored.owner, stored.id)
            except LocalAIError as error:
                log.failure("sweep failed", error)
            await asyncio.sleep(SWEEP)
