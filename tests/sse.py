"""A plain streaming client over a raw socket, so that tests can cut the connection where they like."""

import contextlib
import json
import socket
import struct
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
