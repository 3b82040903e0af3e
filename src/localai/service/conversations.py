"""Conversations: lists of items that clients keep here and that responses read and grow."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from localai.core.errors import Conflict, ContextLengthExceeded, NotFound
from localai.storage.database import Database
from localai.storage.objects import PAGE, Objects, Stored

COUNT = 10_000
"""Conversations of one owner."""
ITEMS = 16_384
"""Items of one conversation: more cannot fit any context."""

Item = dict[str, Any]
"""An item, as the API shows it; `found`, what a search told the model, is for its history only."""


class Conversations:
    """The conversations of all owners. They stay until they are removed."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._objects = Objects(database, "conversation", "conversation", clock)
        self._items = Objects(database, "conversation_item", "item in this conversation", clock)

    async def create(self, owner: str, metadata: Mapping[str, str], items: Sequence[Item]) -> Stored:
        """Store a new conversation with its first items.

        Raises:
            Conflict: This owner has too many.
        """
        if await self._objects.count(owner) >= COUNT:
            raise Conflict(f"There are {COUNT} conversations already; delete some first.")
        identifier = f"conv_{secrets.token_hex(16)}"
        stored = await self._objects.add(owner, identifier, {"metadata": dict(metadata)})
        if items:
            await self._store(owner, identifier, items)
        return stored

    async def get(self, owner: str, identifier: str) -> Stored:
        """One conversation: its `metadata` is in the payload.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        return await self._objects.get(owner, identifier)

    async def label(self, owner: str, identifier: str, metadata: Mapping[str, str]) -> Stored:
        """Replace the metadata.

        Raises:
            NotFound: As `get`.
        """
        await self._objects.change(owner, identifier, payload={"metadata": dict(metadata)})
        return await self.get(owner, identifier)

    async def remove(self, owner: str, identifier: str) -> None:
        """Remove a conversation with its items.

        Raises:
            NotFound: As `get`.
        """
        await self._objects.remove(owner, identifier)

    async def append(self, owner: str, identifier: str, items: Sequence[Item]) -> None:
        """Put items at the end, in one piece: what others append meanwhile comes before or behind all of them.

        Raises:
            NotFound: As `get`.
            Conflict: It would be too long.
        """
        await self.get(owner, identifier)
        held = await self._items.count(owner, parent=identifier)
        if held + len(items) > ITEMS:
            raise Conflict(f"A conversation holds at most {ITEMS} items; start a new one.")
        await self._store(owner, identifier, items)

    async def history(self, owner: str, identifier: str) -> list[Item]:
        """All items, oldest first.

        Raises:
            NotFound: There is no such conversation, or it is somebody else's; `param` is "conversation".
            ContextLengthExceeded: There are more than any context holds.
        """
        try:
            await self.get(owner, identifier)
        except NotFound as error:
            raise NotFound(error.message, param="conversation") from None
        found: list[Item] = []
        after: str | None = None
        more = True
        while more:
            page, more = await self._items.page(owner, parent=identifier, after=after, limit=PAGE, order="asc")
            found += [stored.payload for stored in page]
            after = page[-1].id if page else None
            if len(found) > ITEMS:
                raise ContextLengthExceeded("This conversation is longer than any context.", param="conversation")
        return found

    async def page(
        self, owner: str, identifier: str, *, after: str | None, limit: int, order: Literal["asc", "desc"]
    ) -> tuple[list[Item], bool]:
        """Up to `limit` items in that order behind the item `after`, and whether there are more.

        Raises:
            NotFound: There is no such conversation or item.
        """
        await self.get(owner, identifier)
        if after is not None:
            await self.item(owner, identifier, after)
        found, more = await self._items.page(owner, parent=identifier, after=after, limit=limit, order=order)
        return [_shown(stored) for stored in found], more

    async def item(self, owner: str, identifier: str, item: str) -> Item:
        """One item of a conversation.

        Raises:
            NotFound: There is no such item, or it is in another conversation or somebody else's.
        """
        stored = await self._items.get(owner, item)
        if stored.parent != identifier:
            raise NotFound("There is no such item in this conversation.", param="id")
        return _shown(stored)

    async def find(self, owner: str, item: str) -> Item | None:
        """An item of any conversation of this owner, or None."""
        try:
            return (await self._items.get(owner, item)).payload
        except NotFound:
            return None

    async def drop(self, owner: str, identifier: str, item: str) -> Stored:
        """Remove one item; gives the conversation.

        Raises:
            NotFound: As `item`.
        """
        await self.item(owner, identifier, item)
        await self._items.remove(owner, item)
        return await self.get(owner, identifier)

    async def _store(self, owner: str, identifier: str, items: Sequence[Item]) -> None:
        await self._items.add_all(owner, [(item["id"], item) for item in items], parent=identifier)


def _shown(stored: Stored) -> Item:
    return {name: value for name, value in stored.payload.items() if name != "found"}
