"""A plain streaming client over a raw socket, so that tests can cut the connection where they like."""

import contextlib
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any


class Stream:
    """One POST whose answer is read event by event."""

    def __init__(self, port: int, key: str, path: str, body: dict[str, Any], timeout: float = 60) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + data)
        self._file = self.socket.makefile("rb")
        self.status = 0
        self.headers: dict[str, str] = {}

    def open(self) -> "Stream":
        """Read status and headers."""
        self.status = int(self._file.readline().split()[1])
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        return self

    def lines(self) -> Iterator[bytes]:
        """Lines of the body, decoded from chunks."""
        if not self.status:
            self.open()
        if "content-length" in self.headers:
            yield b"data: " + self._file.read(int(self.headers["content-length"]))
            return
        held = b""
        while size := int(self._file.readline() or b"0", 16):
            held += self._file.read(size)
            self._file.readline()
            *whole, held = held.split(b"\n")
            yield from whole

    def raw(self) -> Iterator[bytes]:
        """The `data:` payloads as bytes, [DONE] included; comments are skipped."""
        for line in self.lines():
            if line.startswith(b"data: "):
                yield line[6:]

    def events(self) -> Iterator[dict[str, Any]]:
        """The JSON events until [DONE] or the end of the connection."""
        with contextlib.suppress(ConnectionResetError):
            for data in self.raw():
                if data == b"[DONE]":
                    return
                yield json.loads(data)

    def close(self, *, reset: bool = False) -> None:
        """End the connection politely (FIN) or rudely (RST)."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()


def text(events: list[dict[str, Any]]) -> str:
    """The answer that chat chunks add up to."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        for choice in event.get("choices", [])
        if "delta" in choice
    )


def ask(content: str, model: str = "echo", **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


def _says(event: dict[str, Any]) -> bool:
    """Whether a chunk has words (or is an error)."""
    choices = event.get("choices", [])
    return "error" in event or any(each.get("text") or each.get("delta", {}).get("content") for each in choices)


class Reader(threading.Thread):
    """Reads a stream to its end in a thread of its own, and notes when each event came."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.events: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.begun = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for event in self.stream.events():
                self.events.append(event)
                self.times.append(time.monotonic())
                if _says(event):
                    self.begun.set()
        finally:
            self.begun.set()
            self.stream.close()

    def ended(self, seconds: float = 60) -> "Reader":
        """Wait for the end."""
        self.join(seconds)
        assert not self.is_alive(), "the stream did not end"
        return self

    @property
    def errors(self) -> list[str]:
        """Codes of its errors."""
        return [event["error"]["code"] for event in self.events if "error" in event]

    @property
    def stops(self) -> list[str]:
        """Reasons it gave for its end."""
        choices = [choice for event in self.events for choice in event.get("choices", [])]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]

    def gaps(self, share: float = 0.99) -> float:
        """The time between two events that this share of them stayed below."""
        between = sorted(late - early for early, late in itertools.pairwise(self.times))
        return between[min(int(len(between) * share), len(between) - 1)]
