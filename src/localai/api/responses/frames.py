"""The events of one streamed response as frames of server-sent events, each with the next number."""

from typing import Any

import orjson


class Frames:
    """Writes frames; whoever sends them takes them."""

    def __init__(self, first: int = 0) -> None:
        """Begin with the number `first`."""
        self._next = first
        self._out: list[bytes] = []

    def say(self, kind: str, /, **fields: Any) -> None:
        """Write one event."""
        self.put(kind.encode(), orjson.dumps({"type": kind, **fields})[:-1])

    def take(self) -> list[bytes]:
        """The frames written since the last time."""
        out, self._out = self._out, []
        return out

    def piece(self, kind: str, /, **fields: Any) -> "Pieces":
        """A writer of many events of one kind that differ in their `delta` only."""
        return Pieces(self, kind.encode(), orjson.dumps({"type": kind, **fields})[:-1])

    def put(self, kind: bytes, data: bytes) -> None:
        """Write one event; `data` is its JSON without the closing brace."""
        self._out.append(b'event: %b\ndata: %b,"sequence_number":%d}\n\n' % (kind, data, self._next))
        self._next += 1


class Pieces:
    """The events of one kind about one part; what does not change is serialised once."""

    def __init__(self, frames: Frames, kind: bytes, start: bytes) -> None:
        self._frames = frames
        self._kind = kind
        self._start = start + b',"delta":'

    def say(self, delta: str, more: bytes = b"") -> None:
        """Write the next piece; `more` are further fields, as JSON that begins with a comma."""
        self._frames.put(self._kind, self._start + orjson.dumps(delta) + more)
