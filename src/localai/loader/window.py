"""A bounded reader of the front of a file: holds one window of it and never reads past a limit."""

import os
import struct
from collections.abc import Sequence

from localai.core.errors import InvalidModel

_STEP = 2**20
"""Bytes read at a time."""
_LENGTH = struct.Struct("<Q")
_WORD = struct.Struct("<I")


class Window:
    """Reads forward through `descriptor`. `position` is the next byte, `size` the file's length.

    Plain reads and not a memory map: a file that is cut short meanwhile gives an error and not a signal.
    """

    def __init__(self, descriptor: int, size: int, limit: int) -> None:
        self._descriptor = descriptor
        self.size = size
        self._end = min(size, limit)
        self._limit = limit
        self._held = b""
        self._start = 0
        self._next = 0

    @property
    def position(self) -> int:
        """The offset of the next byte in the file."""
        return self._start + self._next

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises:
            InvalidModel: The file or what may be read of it ends before.
        """
        stop = self._next + count
        if stop > len(self._held):
            self._need(count)
            self._refill(count)
            stop = count
        taken = self._held[self._next : stop]
        self._next = stop
        return taken

    def skip(self, count: int) -> None:
        """Go `count` bytes forward without keeping them.

        Raises:
            InvalidModel: As for `take`.
        """
        self._need(count)
        self._next += count
        if self._next > len(self._held):
            self._start, self._held, self._next = self.position, b"", 0

    def u32(self) -> int:
        """Return the next 4 bytes as a number."""
        return _WORD.unpack(self.take(4))[0]

    def u64(self) -> int:
        """Return the next 8 bytes as a number."""
        return _LENGTH.unpack(self.take(8))[0]

    def skip_strings(self, count: int, limit: int, needles: Sequence[Sequence[bytes]] = ()) -> frozenset[int]:
        """Go past `count` strings (8 bytes of length, then the bytes) of at most `limit` bytes each.

        Returns:
            Which rows of `needles` had one of their byte strings among those bytes.

        Raises:
            InvalidModel: A string is too long, or as for `take`.
        """
        self._need(8 * count)
        seen: set[int] = set()
        while count:
            begin = self._next
            count = self._walk(count, limit)
            for row, marks in enumerate(needles):
                if row not in seen and any(self._held.find(mark, begin, self._next) >= 0 for mark in marks):
                    seen.add(row)
            if count:
                self._need(8)
                self._refill(limit + 8)
        return frozenset(seen)

    def _walk(self, count: int, limit: int) -> int:
        """Go past the whole strings that are held; return how many are left."""
        held, place, last = self._held, self._next, len(self._held)
        unpack = _LENGTH.unpack_from
        while count and place + 8 <= last:
            (length,) = unpack(held, place)
            if length > limit:
                raise InvalidModel(f"The GGUF header has a string of {length} bytes in a list; that is too long.")
            after = place + 8 + length
            if after > last:
                self._next = place
                self._need(8 + length)
                return count
            place = after
            count -= 1
        self._next = place
        return count

    def _need(self, count: int) -> None:
        if self.position + count > self._end:
            if self.position + count > self.size:
                raise InvalidModel("The GGUF file ends in the middle of its header.")
            raise InvalidModel(f"The GGUF header is larger than {self._limit // 2**20} MiB.")

    def _refill(self, count: int) -> None:
        """Hold at least `count` bytes from `position` on, or what the file has."""
        place = self.position
        wanted = min(max(count, _STEP), self._end - place)
        self._held = os.pread(self._descriptor, wanted, place)
        self._start, self._next = place, 0
        if len(self._held) < wanted:
            raise InvalidModel("The GGUF file became shorter while it was read.")
