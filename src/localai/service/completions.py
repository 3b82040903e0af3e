"""Chat answers that clients asked to be stored, with the conversations they answer."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from localai.storage.database import Database
from localai.storage.objects import Objects, Stored

COUNT = 10_000
"""Answers of one owner; the oldest go when there are more."""
LIFE = 30 * 86400.0
"""Seconds for which an answer is stored."""
_SEEN = 200
"""Answers that are looked at together when a list asks for some of them."""


class Completions:
    """The stored answers of all owners. The payload of one has `completion`, `messages` and `metadata`."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._objects = Objects(database, "completion", "stored chat completion", clock)
        self._clock = clock

    async def add(
        self,
        owner: str,
        completion: Mapping[str, Any],
        messages: Sequence[Mapping[str, Any]],
        metadata: Mapping[str, str],
    ) -> Stored:
        """Store an answer under its own id."""
        await self._objects.expire()
        count, _ = await self._objects.total(owner, "number")
        if count >= COUNT:
            oldest, _ = await self._objects.page(owner, order="asc", limit=count - COUNT + 1)
            for stored in oldest:
                await self._objects.remove(owner, stored.id)
        payload = {"completion": dict(completion), "messages": list(messages), "metadata": dict(metadata)}
        return await self._objects.add(owner, completion["id"], payload, expires=self._clock() + LIFE)

    async def get(self, owner: str, id: str) -> Stored:  # noqa: A002 - the column's name
        """One answer.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        return await self._objects.get(owner, id)

    async def page(
        self,
        owner: str,
        *,
        model: str | None,
        metadata: Mapping[str, str],
        after: str | None,
        limit: int,
        order: Literal["asc", "desc"],
    ) -> tuple[list[Stored], bool]:
        """Up to `limit` answers of this model and with all of this metadata, and whether there are more.

        Raises:
            NotFound: There is no answer `after`.
        """
        found: list[Stored] = []
        more = True
        while more and len(found) <= limit:
            seen, more = await self._objects.page(owner, after=after, limit=_SEEN, order=order)
            after = seen[-1].id if seen else after
            found += [stored for stored in seen if _is_wanted(stored.payload, model, metadata)]
        return found[:limit], len(found) > limit

    async def change(self, owner: str, id: str, metadata: Mapping[str, str]) -> Stored:  # noqa: A002
        """Change what the client noted at an answer.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        stored = await self._objects.get(owner, id)
        await self._objects.change(owner, id, payload={**stored.payload, "metadata": dict(metadata)})
        return await self._objects.get(owner, id)

    async def remove(self, owner: str, id: str) -> None:  # noqa: A002
        """Delete an answer.

        Raises:
            NotFound: There is none, it has expired, or it is somebody else's.
        """
        await self._objects.remove(owner, id)


def _is_wanted(payload: Mapping[str, Any], model: str | None, metadata: Mapping[str, str]) -> bool:
    noted = payload["metadata"]
    fits = all(noted.get(key) == value for key, value in metadata.items())
    return fits and model in (None, payload["completion"]["model"])
