"""One request to one checked address with aiohttp; imported only when something is fetched."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from localai.core.errors import FetchFailed
from localai.fetch.http import Deadlines, Stream
from localai.fetch.proxies import login

_BUFFER = 256 * 1024
_AHEAD = 2 * 2**20
"""Bytes of a body that are taken in before the reader asks for them."""


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked, whatever the name system says by now."""

    def __init__(self, found: list[str]) -> None:
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Body:
    """Takes the body's bytes out of aiohttp's buffer as soon as they come, and stops the socket when it has enough.

    What is still in aiohttp's buffer when the connection breaks is lost, and a download would have to fetch it again.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._transport = None if response.connection is None else response.connection.transport
        self._held: deque[bytes] = deque()
        self._size = 0
        self._came = asyncio.Event()
        self._end: FetchFailed | Literal["open", "complete"] = "open"
        if not response.content.at_eof():
            self._hold(response.content.read_nowait())
        self._task = asyncio.create_task(self._pump())

    def _hold(self, chunk: bytes) -> None:
        if chunk:
            self._held.append(chunk)
            self._size += len(chunk)
            self._came.set()
        if self._size > _AHEAD and self._transport is not None:
            self._transport.pause_reading()

    async def _pump(self) -> None:
        try:
            while chunk := await self._response.content.readany():
                self._hold(chunk)
            self._end = "complete"
        except (aiohttp.ClientError, OSError, ValueError):
            host = self._response.url.host
            self._end = FetchFailed(f"The connection to `{host}` broke before everything had come.")
        self._came.set()

    async def read(self) -> bytes:
        while not self._held:
            if isinstance(self._end, FetchFailed):
                raise self._end
            if self._end == "complete":
                return b""
            self._came.clear()
            await self._came.wait()
        chunk = self._held.popleft()
        self._size -= len(chunk)
        if self._size <= _AHEAD // 2 and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return chunk

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def send(
    url: URL,
    found: list[str],
    *,
    method: str = "GET",
    content: bytes | None = None,
    headers: Mapping[str, str],
    tls: ssl.SSLContext,
    proxy: URL | None,
    deadlines: Deadlines,
) -> AsyncGenerator[tuple[int, Mapping[str, str], Stream]]:
    """Send a request to `url` at one of the addresses `found` (the proxy's, if there is one); wait for the header.

    Raises:
        FetchFailed: There was no connection or no complete header in time.
    """
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(found), use_dns_cache=False, force_close=True, limit=1, ssl=tls, family=socket.AF_UNSPEC
    )
    through, known = (None, None) if proxy is None else login(proxy)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_BUFFER,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=deadlines.connect),
        headers={"User-Agent": "localai", "Accept-Encoding": "identity", "Accept": "*/*"},
    ) as session:
        try:
            async with asyncio.timeout(deadlines.header):
                response = await session.request(
                    method,
                    url,
                    data=content,
                    allow_redirects=False,
                    headers=headers,
                    proxy=through,
                    proxy_headers=None if known is None else {"Authorization": known},  # aiohttp renames it
                )
        except TimeoutError:
            raise FetchFailed(f"`{url.host}` did not answer in time; try again.") from None
        except aiohttp.ClientSSLError:
            raise FetchFailed(
                f"The certificate of `{url.host}` is not trusted here; name its authority in SSL_CERT_FILE or PIP_CERT."
            ) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise FetchFailed(f"There is no connection to `{url.host}`; check the address and the network.") from None
        async with response:
            body = _Body(response)
            try:
                yield response.status, response.headers, body
            finally:
                await body.close()
