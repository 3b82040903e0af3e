"""A real server on a real socket with a table of the test's own, and raw sockets to talk to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from localai.api.edge import Edge
from localai.api.framing import Limits
from localai.api.policy import Policy
from localai.api.readiness import Readiness
from localai.api.server import Server
from localai.api.table import Row, build
from localai.core.caller import Caller
from localai.core.errors import Unauthenticated
from localai.observe.metrics import Metrics

KEYS = {
    "sk-admin": Caller(id="a", owner="a", scopes=frozenset({"admin"})),
    "sk-infer": Caller(id="i", owner="i", scopes=frozenset({"infer"})),
    "sk-models": Caller(id="m", owner="m", scopes=frozenset({"models"})),
    "sk-metrics": Caller(id="x", owner="x", scopes=frozenset({"metrics"})),
}


class FixedKeys:
    """An authenticator that knows four keys."""

    async def identify(self, secret: str | None) -> Caller:
        if secret in KEYS:
            return KEYS[secret]
        raise Unauthenticated


@dataclass
class Answer:
    """An HTTP answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gateway:
    """A running server with what a test looks at."""

    url: str
    server: Server
    readiness: Readiness
    metrics: Metrics
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = int(self.url.rsplit(":", 1)[1])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, data: bytes) -> Answer:
        """Send bytes as they are and read one answer."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            return await answer(reader)
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One well-formed request."""
        return await self.send(request(method, path, body, headers))

    def count(self, series: str) -> float:
        """The value of a series, 0 where there is none."""
        lines = [line for line in self.metrics.render().decode().splitlines() if line.startswith(series + " ")]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0


def request(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a request with a Host, and a length where there is a body."""
    fields = {"Host": "127.0.0.1", **(headers or {})}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the head of an answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split(" ")[1]), fields


async def answer(reader: asyncio.StreamReader, *, body: bool = True) -> Answer:
    """Read one whole answer."""
    status, fields = await head(reader)
    if not body or status == 204:
        return Answer(status, fields, b"")
    if fields.get("transfer-encoding") == "chunked":
        return Answer(status, fields, b"".join([piece async for piece in chunks(reader)]))
    return Answer(status, fields, await reader.readexactly(int(fields["content-length"])))


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a body as they come."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


@contextlib.asynccontextmanager
async def serving(
    rows: Sequence[Row], *, limits: Limits | None = None, policy: Policy | None = None
) -> AsyncIterator[Gateway]:
    """A server for `rows` on a free port, stopped at the end."""
    limits = limits or Limits()
    metrics, readiness = Metrics(), Readiness()
    readiness.store = readiness.fleet = True
    edge = Edge(
        build(rows, FixedKeys()),
        policy=policy or Policy(),
        metrics=metrics,
        readiness=readiness,
        body_limit=limits.body_bytes,
    )
    server = Server(edge, host="127.0.0.1", port=0, limits=limits, readiness=readiness, metrics=metrics)
    gateway = Gateway(await server.start(), server, readiness, metrics)
    try:
        yield gateway
    finally:
        await server.stop()
