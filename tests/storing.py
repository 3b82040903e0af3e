"""What tests of stored things share: a clock, bytes that come in pieces, and a database that dies when told to."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from localai.core.errors import StorageFailed
from localai.storage.database import Database


class Clock:
    """A time that the test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def pieces(data: bytes, size: int = 7) -> AsyncGenerator[bytes, None]:
    """The bytes of `data` as they would come."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Dying:
    """A database that takes `writes` more writes; `after` lets the last one through before it says no."""

    def __init__(self, database: Database, writes: int, *, after: bool) -> None:
        self._database = database
        self._left = writes
        self._after = after
        self.died = False

    def read(self) -> Any:
        return self._database.read()

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Any]:
        self._left -= 1
        if self._left < -1 or (self._left == -1 and not self._after):
            self.died = True
            raise StorageFailed
        async with self._database.write() as connection:
            yield connection
        if self._left == -1:
            self.died = True
            raise StorageFailed
