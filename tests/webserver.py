"""A real HTTP server on loopback that sends exactly the bytes a test wants, and counts them."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Self

from localai.fetch.address import Origin


class Ask(NamedTuple):
    """A request: how many came before it, its path and its headers (names in lower case)."""

    number: int
    path: str
    headers: dict[str, str]

    @property
    def start(self) -> int:
        """The first byte a Range header asks for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else 0


class Out:
    """Where an answer goes."""

    def __init__(self, web: "Web", writer: asyncio.StreamWriter) -> None:
        self._web = web
        self.writer = writer

    async def head(self, status: int = 200, headers: Mapping[str, object] | None = None) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.writer.write(f"HTTP/1.1 {status} Whatever\r\n{lines}Connection: close\r\n\r\n".encode())
        await self.writer.drain()

    async def body(self, data: bytes) -> None:
        self._web.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def whole(self, data: bytes, status: int = 200, headers: Mapping[str, object] | None = None) -> None:
        await self.head(status, {"Content-Length": len(data), **(headers or {})})
        await self.body(data)

    async def hang(self) -> None:
        """Say nothing more until the other side goes."""
        await self._web.gone(self.writer)


Answer = Callable[[Ask, Out], Awaitable[None]]


class Web:
    """The server; `async with Web(answer) as web`."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.answer = answer
        self.asked: list[Ask] = []
        self.connections = 0
        self.sent = 0
        """Bytes of bodies that were sent."""
        self._tls = tls
        self._host = host
        self._readers: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, self._host, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", self._host, self.port)

    def url(self, path: str = "/") -> str:
        return f"{self.origin.scheme}://{self._host}:{self.port}{path}"

    async def gone(self, writer: asyncio.StreamWriter) -> None:
        while await self._readers[writer].read(1024):
            pass

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._readers[writer] = reader
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.split(":", 1) for line in lines if line)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            ask = Ask(len(self.asked), first.split(" ")[1], headers)
            self.asked.append(ask)
            await self.answer(ask, Out(self, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            del self._readers[writer]
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


class Files:
    """An answer that serves one file with ranges, and cuts the n-th response after `cuts[n]` bytes."""

    def __init__(self, data: bytes, *, etag: str | None = '"one"', cuts: Mapping[int, int] | None = None) -> None:
        self.data = data
        self.etag = etag
        self.cuts = dict(cuts or {})
        self.ranges = True

    async def __call__(self, ask: Ask, out: Out) -> None:
        start = ask.start if self.ranges and ask.headers.get("if-range", self.etag) == self.etag else 0
        rest = self.data[start:]
        headers: dict[str, object] = {"Content-Length": len(rest)}
        if self.etag:
            headers["ETag"] = self.etag
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        await out.head(206 if start else 200, headers)
        await out.body(rest[: self.cuts.get(ask.number, len(rest))])
