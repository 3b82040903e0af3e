"""Runs the lines of a batch: a few at a time, each until it has a result, and each result is written once."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping

import orjson

from localai.core.caller import Caller
from localai.core.errors import InternalError, LocalAIError, ShuttingDown, StorageFailed
from localai.observe.logs import get
from localai.storage.lines import Line, Lines, State

log = get("batches")

Performer = Callable[[Caller, bytes], Awaitable[bytes]]
"""Answers one request of an endpoint: who asks and the body as JSON to the answer as JSON, or a LocalAIError."""

AT_ONCE = 8
"""Lines of one batch that are under way together; how many of them a model takes, the fleet decides."""
TRIES = 5
"""Attempts at a line that fails in a way that another try may mend."""
_LONGEST = 60.0
"""Seconds between two attempts, at most."""


class Runner:
    """Runs batches by the performers of their endpoints."""

    def __init__(
        self,
        lines: Lines,
        performers: Mapping[str, Performer],
        *,
        at_once: int = AT_ONCE,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._lines = lines
        self._performers = performers
        self._at_once = at_once
        self._pause = pause

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that requests of a batch may have."""
        return tuple(self._performers)

    async def run(self, caller: Caller, batch: str, endpoint: str) -> None:
        """Return once every line has a result. Cancelled, it stops the lines that are under way; they have none.

        Raises:
            ShuttingDown: The server leaves; what has no result gets it after the next start.
        """
        turns, leaving = asyncio.Semaphore(self._at_once), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()
        after = 0
        try:
            while not leaving.is_set() and (page := await self._page(caller, batch, after)):
                after = page[-1].number
                for line in page:
                    await turns.acquire()
                    work = self._line(caller, batch, self._performers[endpoint], line, leaving)
                    task = asyncio.create_task(work)
                    task.add_done_callback(lambda _: turns.release())
                    tasks.add(task)
                for over in [task for task in tasks if task.done()]:
                    tasks.discard(over)
                    over.result()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if leaving.is_set():
            raise ShuttingDown

    async def _page(self, caller: Caller, batch: str, after: int) -> list[Line]:
        return await self._lines.page(caller.owner, batch, after=after, limit=self._at_once, states=("pending",))

    async def _line(self, caller: Caller, batch: str, perform: Performer, line: Line, leaving: asyncio.Event) -> None:
        """Give a line its result; set `leaving` when the server leaves before it has one."""
        try:
            state, result = await self._answer(caller, perform, line)
        except ShuttingDown:
            leaving.set()
            return
        while True:
            try:
                await self._lines.commit(caller.owner, batch, line.number, state, result)
            except StorageFailed:
                await self._pause(_LONGEST)  # a full disk: the result is kept until there is room
            else:
                return

    async def _answer(self, caller: Caller, perform: Performer, line: Line) -> tuple[State, str]:
        for attempt in range(TRIES):
            try:
                return "done", _success(await perform(caller, line.body.encode()))
            except ShuttingDown:
                raise
            except LocalAIError as error:
                if not error.retry or attempt == TRIES - 1:
                    return "failed", _failure(error)
                await self._pause(min(error.retry_after or 2.0**attempt, _LONGEST))
            except Exception as error:  # noqa: BLE001 - one line must not take the batch with it
                log.failure("batch line failed", error)
                break
        return "failed", _failure(InternalError("The server failed in a way it did not foresee."))


def _request() -> str:
    return f"req_{secrets.token_hex(12)}"


def _success(body: bytes) -> str:
    return f'{{"status":200,"request":"{_request()}","body":{body.decode()}}}'


def _failure(error: LocalAIError) -> str:
    told = {"code": error.code, "message": error.message, "param": error.param}
    return orjson.dumps({"status": error.status, "request": _request(), "error": told}).decode()
