"""What a run has said so far, kept for those who come later or come back: numbered frames, bounded in bytes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from itertools import islice

from localai.core.errors import InvalidRequest

LIMIT = 16 * 2**20
"""Bytes of one journal; the oldest frames go first."""


class Journal:
    """Frames under the numbers 0, 1, 2, ...; written by one, read by any number, also while it is written."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._first = 0
        """The number of the oldest frame that is kept."""
        self.size = 0
        """Bytes kept."""
        self.closed = False
        """Whether nothing follows."""
        self._changed = asyncio.Event()

    def add(self, frames: Iterable[bytes]) -> None:
        """Append frames, and let go of the oldest ones when there are too many bytes."""
        for frame in frames:
            self._frames.append(frame)
            self.size += len(frame)
        while self.size > self._limit and len(self._frames) > 1:
            self.size -= len(self._frames.popleft())
            self._first += 1
        self._wake()

    def close(self) -> None:
        """Say that nothing follows."""
        self.closed = True
        self._wake()

    async def follow(self, after: int) -> AsyncGenerator[bytes, None]:
        """The frames behind number `after` (-1: from the beginning), those to come included, joined as they come.

        Raises:
            InvalidRequest: The next frame is no longer kept, or the reader fell too far behind.
        """
        position = after + 1
        while True:
            if position < self._first:
                raise InvalidRequest(
                    f"The events before number {self._first} are no longer kept; ask for this without `stream`, or "
                    "start behind a later one.",
                    param="starting_after",
                )
            changed = self._changed
            frames = list(islice(self._frames, position - self._first, None))
            if frames:
                position += len(frames)
                yield b"".join(frames)
            elif self.closed:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
