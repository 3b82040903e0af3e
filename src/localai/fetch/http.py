"""The one outbound HTTP client: every hop is checked, nothing is followed, decoded or remembered behind our back."""

import asyncio
import importlib
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, Self

from yarl import URL

from localai.core.errors import FetchFailed, FetchRefused, PayloadTooLarge, ShuttingDown
from localai.core.task import Value
from localai.fetch import pip
from localai.fetch.address import PUBLIC, Lookup, Origin, Route, addresses, lookup, numeric, origin, parse

if TYPE_CHECKING:
    from types import ModuleType

REDIRECTS = 5
"""Hops that are followed after the first request."""
_MOVED = frozenset((301, 302, 303, 307, 308))


class Deadlines(Value, frozen=True):
    """Seconds after which a request is given up. Only waiting for the network counts, not our own work."""

    connect: float = 10
    header: float = 30
    """From the start of a hop to the end of the response's header."""
    idle: float = 30
    """Without a single byte."""
    window: float = 60
    """At least `rate` bytes a second must come over each window of this length."""
    rate: float = 1024
    total: float = 24 * 3600


class Stream(Protocol):
    """The body of a response, as a hop delivers it."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end; raises FetchFailed when the connection breaks."""
        ...


class Reply:
    """The head of a response, and its body as it comes."""

    def __init__(
        self, *, url: URL, status: int, headers: Mapping[str, str], stream: Stream, deadlines: Deadlines
    ) -> None:
        self.url = url
        """Where the body really comes from, after redirects."""
        self.status = status
        self.headers = headers
        self._stream = stream
        self._deadlines = deadlines

    @property
    def size(self) -> int | None:
        """Bytes of the body, when the server said so."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes, never decoded.

        Raises:
            FetchFailed: A deadline passed, the transfer is too slow, or the connection broke.
        """
        limits = self._deadlines
        clock = asyncio.get_running_loop().time
        waited = in_window = 0.0
        received = 0
        while True:
            began = clock()
            wait = min(limits.idle, limits.window - in_window, limits.total - waited)
            try:
                async with asyncio.timeout(max(wait, 0)):
                    chunk = await self._stream.read()
            except TimeoutError:
                chunk = None
            spent = clock() - began
            waited, in_window = waited + spent, in_window + spent
            if chunk == b"":
                return
            received += len(chunk or b"")
            if waited >= limits.total or (chunk is None and spent >= limits.idle):
                raise FetchFailed(f"`{self.url.host}` stopped sending; try again.")
            if in_window >= limits.window:
                if received < limits.rate * limits.window:
                    raise FetchFailed(f"`{self.url.host}` sends too slowly; try again later.")
                in_window, received = 0.0, 0
            if chunk:
                yield chunk

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            PayloadTooLarge: It has more than `limit` bytes.
            FetchFailed: See `chunks`.
        """
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise PayloadTooLarge(f"The answer of `{self.url.host}` is larger than {limit} bytes.")
        return bytes(body)


class Client:
    """Fetches from the public internet, and from what the operator configured."""

    def __init__(
        self,
        *,
        trusted: frozenset[Origin] = frozenset(),
        certificates: tuple[str, ...] | None = None,
        deadlines: Deadlines | None = None,
        find: Lookup = lookup,
    ) -> None:
        """Make a client.

        Args:
            trusted: Origins that may have any address, whatever the route of a request says.
            certificates: Files of certificate authorities that are trusted besides the system's; by default those that
                pip is configured with.
            deadlines: When to give up.
            find: The resolver.
        """
        self._trusted = trusted
        self._certificates = certificates
        self._deadlines = deadlines or Deadlines()
        self._find = find
        self._closed = False
        self._contexts: dict[bool, ssl.SSLContext] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True

    @asynccontextmanager
    async def get(
        self,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        route: Route = PUBLIC,
    ) -> AsyncGenerator[Reply]:
        """Ask for `address` and follow at most REDIRECTS redirects, each checked like the first address.

        Args:
            address: An http or https URL.
            headers: Sent to every hop.
            secrets: Headers that only the origin of `address` may see; dropped for good at the first other origin.
            route: What is allowed beyond the public internet.

        Raises:
            FetchRefused: An address of the way may not be fetched.
            FetchFailed: The server cannot be reached or does not answer in time.
        """
        url = parse(address)
        first, private = origin(url), dict(secrets or {})
        for _ in range(REDIRECTS + 1):
            if origin(url) != first:
                private.clear()
            async with self._hop(url, {**(headers or {}), **private}, route) as reply:
                if reply.status not in _MOVED:
                    yield reply
                    return
                location = reply.headers.get("Location", "")
            url = self._next(url, location, route)
        raise FetchRefused(f"`{first.host}` redirects more than {REDIRECTS} times.")

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        route: Route = PUBLIC,
    ) -> AsyncGenerator[Reply]:
        """Send one request of any method to `address`, checked as in `get`; a redirect is an answer, not followed.

        Args:
            method: "GET", "POST", ...
            address: An http or https URL.
            headers: Sent as they are.
            body: What is sent.
            route: What is allowed beyond the public internet.

        Raises:
            FetchRefused: The address may not be reached.
            FetchFailed: The server cannot be reached or does not answer in time.
        """
        async with self._hop(parse(address), headers or {}, route, method, body) as reply:
            yield reply

    def _next(self, url: URL, location: str, route: Route) -> URL:
        try:
            target = parse(str(url.join(URL(location, encoded=True))))
        except ValueError:
            raise FetchRefused(f"`{url.host}` redirects to an address that cannot be read.") from None
        if url.scheme == "https" and target.scheme == "http" and origin(target) not in self._allowed(route):
            raise FetchRefused(f"`{url.host}` redirects from https to http.")
        return target

    def _allowed(self, route: Route) -> frozenset[Origin]:
        return self._trusted | route.trusted

    @asynccontextmanager
    async def _hop(
        self, url: URL, headers: Mapping[str, str], route: Route, method: str = "GET", body: bytes | None = None
    ) -> AsyncGenerator[Reply]:
        if self._closed:
            raise ShuttingDown
        hop = await asyncio.to_thread(_load)
        proxy = route.proxies.of(url)
        try:
            async with asyncio.timeout(self._deadlines.connect):
                found = await self._find_all(url, route, proxy)
        except TimeoutError:
            raise FetchFailed(f"The address of `{url.host}` could not be found in time.") from None
        context = await self._context(verify=not _named(url, route.unverified))
        sending: AbstractAsyncContextManager[tuple[int, Mapping[str, str], Stream]] = hop.send(
            url,
            found,
            method=method,
            content=body,
            headers=headers,
            tls=context,
            proxy=proxy,
            deadlines=self._deadlines,
        )
        async with sending as (status, answered, stream):
            encoding = answered.get("Content-Encoding", "identity").strip().lower()
            if status < 300 and encoding not in {"", "identity"}:
                raise FetchFailed(f"`{url.host}` sent compressed data although it was asked not to.")
            yield Reply(url=url, status=status, headers=answered, stream=stream, deadlines=self._deadlines)

    async def _find_all(self, url: URL, route: Route, proxy: URL | None) -> list[str]:
        """The addresses to connect to. Behind a proxy, names are the proxy's to resolve; numbers are still checked."""
        allowed = Route(self._allowed(route), route.beside)
        if proxy is None or numeric(url.host or ""):
            found = await addresses(url, allowed, self._find)
            if proxy is None:
                return found
        return await self._find(proxy.host or "", proxy.port or 0)

    async def _context(self, *, verify: bool) -> ssl.SSLContext:
        if verify not in self._contexts:
            self._contexts[verify] = await asyncio.to_thread(_tls, self._certificates, verify=verify)
        return self._contexts[verify]


def _load() -> "ModuleType":
    """The part that needs aiohttp, whose import is too slow for the start of the server."""
    return importlib.import_module("localai.fetch.hop")


def _named(url: URL, hosts: frozenset[str]) -> bool:
    return url.host in hosts or f"{url.host}:{url.port}" in hosts


def _tls(certificates: tuple[str, ...] | None, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    for file in pip.read(os.environ).certificates if certificates is None else certificates:
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError):
            raise FetchFailed(
                "A file of certificate authorities that is configured cannot be read; check `cert` in pip's "
                "configuration and PIP_CERT."
            ) from None
    return context
