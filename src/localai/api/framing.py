"""Where one request ends and the next begins, read more strictly than the parser does.

Whatever two parsers could read differently (smuggling) is refused, and everything is counted while it arrives:
the parser behind it has no limits of its own.
"""

import re
from dataclasses import dataclass

from localai.core.errors import HeadTooLarge, MalformedRequest, TooManyChunks

END = b"\r\n\r\n"

_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:(?![ \t]*websocket[ \t]*\r)[^\r\n]*", re.IGNORECASE)
"""An offer to speak something else, which is passed over: anything but a WebSocket."""
_SMALL = 4096
"""Bytes of a chunk that is too small to come any number of times."""
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")


@dataclass(frozen=True)
class Limits:
    """What one connection may take; times in seconds, sizes in bytes."""

    connections: int = 1000
    head_seconds: float = 10
    """From the first byte of a request (or the connection) to the end of its headers."""
    head_bytes: int = 64 * 1024
    head_fields: int = 128
    body_bytes: int = 32 * 2**20
    body_seconds: float = 10
    """In each such span a body must bring at least `body_rate` bytes a second."""
    body_rate: float = 1000
    prompt_seconds: float = 1
    """Where there are as many connections as may be, one that takes longer to send its request gives way to others."""
    chunks: int = 65536
    """Chunks of less than 4 KiB in one body."""
    write_bytes: int = 64 * 1024
    """What is kept for a slow reader before the sender has to wait."""
    write_seconds: float = 30
    """How long a reader may keep the sender waiting."""
    idle_seconds: float = 75
    linger_seconds: float = 2
    """How long unread input is thrown away after a refusal, so that the client gets to read it."""
    flush_seconds: float = 2
    """How long running requests may take to go out once the drain is over."""
    tick: float = 0.25
    """How often deadlines are looked at."""


class Head:
    """Collects the head of a request up to its empty line."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = bytearray()

    @property
    def begun(self) -> bool:
        """Whether a part of a head is waiting for the rest."""
        return bool(self._kept)

    def take(self, data: bytes) -> tuple[bytes | None, bytes]:
        """Add received bytes; answer the whole head, once it is, and what comes after it.

        Raises:
            HeadTooLarge: More bytes or fields than the limits allow.
            MalformedRequest: Line ends that are not CRLF.
        """
        start = max(0, len(self._kept) - 3)
        self._kept += data
        if not start:
            self._kept = self._kept.lstrip(b"\r\n") or bytearray()
        end = self._kept.find(END, start)
        head = bytes(self._kept[: end + 4]) if end >= 0 else bytes(self._kept)
        if len(head) > self._limits.head_bytes or head.count(b"\n") > self._limits.head_fields + 2:
            raise HeadTooLarge
        if head[:1] and not b"A" <= head[:1] <= b"Z":
            raise MalformedRequest
        if _BARE_LINE_END.search(head, start):
            raise MalformedRequest
        if end < 0:
            return None, b""
        rest = bytes(self._kept[end + 4 :])
        self._kept = bytearray()
        return _UPGRADE.sub(b"", head), rest


class Fixed:
    """A body whose length was announced."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        """Whether all of it has come."""
        return self._left == 0

    def take(self, data: bytes) -> int:
        """How many of these bytes belong to the body."""
        count = min(self._left, len(data))
        self._left -= count
        return count


class Chunked:
    """A body in chunks: no extensions, no trailers, sizes of at most 8 hexadecimal digits."""

    def __init__(self, limits: Limits) -> None:
        self._chunks = limits.chunks
        self._left = 0
        self._line = b""
        self._last = False
        self.done = False

    def take(self, data: bytes) -> int:
        """How many of these bytes belong to the body.

        Raises:
            MalformedRequest: A size that is not one, or anything after the last chunk.
            TooManyChunks: More chunks than the limits allow.
        """
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                at = self._read_line(data, at)
        return at

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at, at + 11)
        stop = end + 1 if end >= 0 else min(len(data), at + 11)
        self._line += data[at:stop]
        if end >= 0:
            self._end_line()
        elif len(self._line) > 10:
            raise MalformedRequest
        return stop

    def _end_line(self) -> None:
        line, self._line = self._line, b""
        if self._last:
            if line != b"\r\n":
                raise MalformedRequest
            self.done = True
            return
        if _SIZE.fullmatch(line) is None:
            raise MalformedRequest
        size = int(line, 16)
        self._last = size == 0
        self._left = size + 2 if size else 0
        self._chunks -= size < _SMALL
        if self._chunks < 0:
            raise TooManyChunks
