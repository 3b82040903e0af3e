"""Stored responses: each with its owner, the items it was given, and the response it continues."""

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localai.core.errors import ContextLengthExceeded, NotFound
from localai.core.task import Value
from localai.observe.logs import get
from localai.storage.database import Database
from localai.storage.objects import PAGE, Objects, Stored
from localai.storage.owned import EVERYONE

log = get("responses")

TTL = 30 * 86400.0
"""Seconds a response is kept."""
COUNT = 20_000
"""Responses of one owner that are kept; the oldest go first."""
LINKS = 2048
"""Responses of one chain."""
SWEEP = 600.0
"""Seconds between two looks for what is over."""

Item = dict[str, Any]
"""An item of a conversation, as the API shows it."""

_UNDER_WAY = "queued"
"""The state of what runs in the background; all others are the status of an ended response."""
_OUTPUT = 0x8000
"""Items from this place on are output."""
_ITEM = re.compile(r"[a-z]{1,8}_([0-9a-f]{32})[0-9a-f]{4}")


class Record(Value, frozen=True):
    """What is stored of a response."""

    response: dict[str, Any]
    """The response as the API shows it."""
    input: tuple[Item, ...]
    """The items that this request brought, without those of the responses before."""
    found: dict[str, str] = {}
    """What searches told the model, by the ids of their items: kept for what continues this, and not shown."""

    def output(self) -> list[Item]:
        """The items of the response, with what their searches told the model as `found`."""
        return [_with(each, self.found.get(each.get("id", ""))) for each in self.response["output"]]


def new_id() -> str:
    """The id of a new response."""
    return f"resp_{secrets.token_hex(16)}"


def item_id(response: str, prefix: str, place: int, *, output: bool) -> str:
    """The id of an item of a response; it says which response it belongs to, so that it can be found by it."""
    return f"{prefix}_{response.removeprefix('resp_')}{place + (_OUTPUT if output else 0):04x}"


class Responses:
    """The responses of all owners."""

    def __init__(self, database: Database, *, ttl: float = TTL, clock: Callable[[], float] = time.time) -> None:
        self._objects = Objects(database, "response", "response", clock)
        self._ttl = ttl
        self._clock = clock
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Mark as failed what an earlier server left in progress; from now on remove what is over."""
        while (found := await self._objects.page(EVERYONE, state=_UNDER_WAY, limit=PAGE))[0]:
            for stored in found[0]:
                with contextlib.suppress(NotFound):  # its time ended meanwhile
                    await self._fail(stored)
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """End the sweep."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping

    async def add(self, owner: str, record: Record) -> None:
        """Store a response: one that has ended, or one that is queued and will be finished."""
        response = record.response
        payload = _payload(record)
        state = response["status"]
        await self._objects.add(owner, response["id"], payload, state=state, expires=self._clock() + self._ttl)

    async def finish(self, owner: str, record: Record) -> bool:
        """Store how a queued response ended; False when it had ended before."""
        response = record.response
        return await self._objects.change(
            owner, response["id"], payload=_payload(record), state=response["status"], when=_UNDER_WAY
        )

    async def get(self, owner: str, identifier: str) -> Record:
        """One response.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        return _record((await self._objects.get(owner, identifier)).payload)

    async def remove(self, owner: str, identifier: str) -> None:
        """Remove a response. Those that continue it cannot be continued any more.

        Raises:
            NotFound: As `get`.
        """
        await self._objects.remove(owner, identifier)

    async def chain(self, owner: str, identifier: str) -> list[Item]:
        """All items of the conversation that ended with this response: inputs and outputs, oldest first.

        Raises:
            NotFound: One of its responses is gone.
            ContextLengthExceeded: The chain is longer than any context.
        """
        links: list[Record] = []
        wanted: str | None = identifier
        while wanted is not None:
            if len(links) == LINKS:
                raise ContextLengthExceeded(
                    f"This continues more than {LINKS} responses; start a new one.", param="previous_response_id"
                )
            links.append(await self._link(owner, wanted, first=not links))
            wanted = links[-1].response.get("previous_response_id")
        return [item for link in reversed(links) for item in (*link.input, *link.output())]

    async def item(self, owner: str, identifier: str) -> Item | None:
        """An item of a stored response by its id, or None."""
        found = _ITEM.fullmatch(identifier)
        if found is None:
            return None
        with contextlib.suppress(NotFound):
            record = await self.get(owner, f"resp_{found[1]}")
            return next((each for each in _items(record) if each.get("id") == identifier), None)
        return None

    async def _link(self, owner: str, identifier: str, *, first: bool) -> Record:
        try:
            return await self.get(owner, identifier)
        except NotFound:
            message = (
                f"There is no response `{identifier[:80]}` to continue; it was not stored, has expired or was deleted."
                if first
                else f"The response `{identifier[:80]}`, which this conversation builds on, is gone."
            )
            raise NotFound(message, param="previous_response_id") from None

    async def _fail(self, stored: Stored) -> None:
        record = _record(stored.payload)
        error = {"code": "server_error", "message": "The server was restarted before this response was complete."}
        failed = Record(response={**record.response, "status": "failed", "error": error}, input=record.input)
        await self.finish(stored.owner, failed)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            try:
                await self._objects.expire()
                await self._objects.trim(COUNT)
            except Exception as error:  # noqa: BLE001 - it is tried again; until then nobody is shown what is over
                log.failure("sweep failed", error)


def _record(payload: Mapping[str, Any]) -> Record:
    return Record(response=payload["response"], input=tuple(payload["input"]), found=payload.get("found", {}))


def _payload(record: Record) -> dict[str, Any]:
    kept = {"response": record.response, "input": list(record.input)}
    return {**kept, "found": record.found} if record.found else kept


def _with(item: Item, found: str | None) -> Item:
    return item if found is None else {**item, "found": found}


def _items(record: Record) -> Sequence[Item]:
    return (*record.input, *record.response["output"])
