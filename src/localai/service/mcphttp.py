"""The MCP library's HTTP, carried by our one outbound client: every address is checked, every answer bounded.

Imported only where the extra `mcp` is installed: its library brings httpx2.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2

from localai.core.errors import LocalAIError
from localai.fetch.address import Route
from localai.fetch.http import Client, Reply

ANSWER = 4 * 2**20
"""Bytes of one answer of a server."""

_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "user-agent"))
"""Headers that our own client writes."""


class Outbound(httpx2.AsyncBaseTransport):
    """Sends what the MCP library wants to send through `Client`."""

    def __init__(self, client: Client, route: Route) -> None:
        self._client = client
        self._route = route
        self.error: LocalAIError | None = None
        """Why the last request failed: the library loses the reason."""
        self.status = 0
        """How the last request was answered; 0: it was not."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and give the head of its answer; the body comes as it is read."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
        body = await request.aread()
        stack = AsyncExitStack()
        asking = self._client.ask(request.method, str(request.url), headers=headers, body=body, route=self._route)
        try:
            reply = await stack.enter_async_context(asking)
        except LocalAIError as error:
            self.error = error
            raise httpx2.ConnectError(error.message) from None
        self.status = reply.status
        return httpx2.Response(reply.status, headers=list(reply.headers.items()), stream=_Body(reply, stack, self))


class _Body(httpx2.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, reply: Reply, stack: AsyncExitStack, outbound: Outbound) -> None:
        self._reply = reply
        self._stack = stack
        self._outbound = outbound

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Its pieces, as many bytes as an answer may have."""
        size = 0
        try:
            async for piece in self._reply.chunks():
                size += len(piece)
                if size > ANSWER:
                    raise httpx2.ReadError(f"The answer has more than {ANSWER} bytes.")
                yield piece
        except LocalAIError as error:
            self._outbound.error = error
            raise httpx2.ReadError(error.message) from None

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stack.aclose()
