"""Talks to the remote MCP servers: one session for each server of a request, held by a task of its own.

The library's sessions must be opened, used and closed by one task, and streams are closed by another than read them;
so a session lives in its own task and takes calls from a queue.
"""

import asyncio
import importlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from localai.core.errors import FetchFailed, LocalAIError, NotInstalled, Overloaded
from localai.core.task import Tool, Value
from localai.fetch.address import Route, origin, parse
from localai.fetch.http import Client, Deadlines
from localai.observe.logs import get
from localai.service.remotes import Remote, Remotes

log = get("mcp")

SESSIONS = 64
"""Sessions at a time, of all requests."""
CONNECT = 20.0
"""Seconds to connect to a server and learn its tools."""
CLOSE = 5.0
"""Seconds a session gets to take its leave."""
TOOLS = 256
"""Tools of one server."""
PAGES = 16
"""Pages of a server's list of tools."""
SCHEMA = 64 * 1024
"""Characters of the JSON schema of one tool; a tool with a larger one is left out."""
RESULT = 64 * 1024
"""Characters of one result; of a longer one the model sees so many, and that it was cut."""

EXTRA = (
    "MCP needs the optional part `mcp`, which is not installed: `pip install 'localai-server[mcp]'`, then start again."
)


class Result(Value, frozen=True):
    """What a tool gave, as text for a model; `error`: the tool itself says that it failed."""

    text: str
    error: bool = False


class Session:
    """An open session with one server."""

    def __init__(self, name: str, remote: Remote) -> None:
        self.name = name
        self.tools: tuple[Tool, ...] = ()
        self._remote = remote
        self._calls: asyncio.Queue[tuple[str, dict[str, Any], asyncio.Future[Result]] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._calling = False

    async def open(self, client: Client) -> None:
        """Connect and learn the tools.

        Raises:
            NotInstalled: The MCP library is not there.
            FetchFailed: The server may not or cannot be reached, or does not speak MCP.
        """
        await library()
        headers = await asyncio.to_thread(self._remote.all_headers)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(client, headers, ready))
        try:
            async with asyncio.timeout(CONNECT):
                await asyncio.shield(ready)
        except TimeoutError:
            ready.cancel()
            raise FetchFailed(f"The MCP server `{self.name}` did not answer within {CONNECT:g} seconds.") from None

    async def call(self, tool: str, arguments: dict[str, Any]) -> Result:
        """Call a tool; what goes wrong on the way is a result that says so."""
        if self._task is None or self._task.done():
            return Result(text="The connection to the MCP server is gone.", error=True)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._calls.put_nowait((tool, arguments, answer))
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Result(text="The connection to the MCP server broke.", error=True)
        return answer.result()

    async def close(self) -> None:
        """Take leave; a server that does not answer, or is in the middle of a call, is left without."""
        if self._task is None:
            return
        if self._calling:
            self._task.cancel()
        self._calls.put_nowait(None)
        done, _ = await asyncio.wait((self._task,), timeout=CLOSE)
        if not done:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=CLOSE)

    async def _run(self, client: Client, headers: Mapping[str, str], ready: "asyncio.Future[None]") -> None:
        carrier = importlib.import_module("localai.service.mcphttp")
        mcp, streamable = importlib.import_module("mcp"), importlib.import_module("mcp.client.streamable_http")
        place = origin(parse(self._remote.url))
        outbound = carrier.Outbound(client, Route(trusted=frozenset((place,)) if self._remote.private else frozenset()))
        try:
            http = carrier.httpx2.AsyncClient(transport=outbound, headers=dict(headers), timeout=None)
            transport = streamable.streamable_http_client(self._remote.url, http_client=http)
            async with http, mcp.Client(transport, read_timeout_seconds=self._remote.timeout, cache=None) as session:
                self.tools = await self._listed(session)
                if not ready.done():
                    ready.set_result(None)
                while (wanted := await self._calls.get()) is not None:
                    await self._answer(session, *wanted)
        except Exception as error:  # noqa: BLE001 - whatever the library raises is a server that failed
            if not ready.done():
                ready.set_exception(self._failure(outbound.error, outbound.status, error))
            else:
                log.failure("mcp session failed", error, server=self.name)

    def _failure(self, known: LocalAIError | None, status: int, error: Exception) -> LocalAIError:
        if known is not None:
            return FetchFailed(
                f"MCP server `{self.name}`: {known.message}"
                + ("" if self._remote.private else " (A server in the own network needs `private: true`.)")
            )
        log.failure("mcp server failed", error, server=self.name)
        return FetchFailed(
            f"The MCP server `{self.name}` does not answer as one (HTTP status {status}); its address or its headers "
            "are wrong."
        )

    async def _listed(self, session: Any) -> tuple[Tool, ...]:
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = await session.list_tools(cursor=cursor)
            found += [tool for given in page.tools if (tool := self._tool(given)) is not None]
            cursor = page.next_cursor
            if not cursor or len(found) >= TOOLS:
                break
        return tuple(found[:TOOLS])

    def _tool(self, given: Any) -> Tool | None:
        """A tool as models know them; None for one that is not offered."""
        name, allowed = str(given.name), self._remote.tools
        plain = name.isascii() and name.isprintable() and not set(name) & set(' "\\') and 0 < len(name) <= 128
        if not plain or (allowed is not None and name not in allowed) or len(json.dumps(given.input_schema)) > SCHEMA:
            return None
        return Tool(name=name, description=(given.description or "")[:4096], parameters=given.input_schema)

    async def _answer(
        self, session: Any, tool: str, arguments: dict[str, Any], answer: "asyncio.Future[Result]"
    ) -> None:
        self._calling = True
        try:
            async with asyncio.timeout(self._remote.timeout):
                given = await session.call_tool(tool, arguments)
            result = Result(text=written(given), error=bool(given.is_error))
        except TimeoutError:
            result = Result(text=f"The tool did not answer within {self._remote.timeout:g} seconds.", error=True)
        except Exception as error:  # noqa: BLE001 - a call that fails is told to the model, the session goes on
            log.failure("mcp call failed", error, server=self.name)
            result = Result(text="The tool could not be called.", error=True)
        self._calling = False
        if not answer.done():
            answer.set_result(result)


def written(given: Any) -> str:
    """The content of a result as text; what is no text is named, and what is too long is cut and says so."""
    pieces = [_piece(block) for block in given.content]
    if not pieces and given.structured_content is not None:
        pieces = [json.dumps(given.structured_content, ensure_ascii=False)]
    text = "\n".join(pieces)
    if len(text) > RESULT:
        return f"{text[:RESULT]}\n[cut here: the result has {len(text)} characters]"
    return text


def _piece(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "resource" if getattr(block.resource, "text", None) is not None:
            return str(block.resource.text)
        case "resource_link":
            return f"[link to {block.uri}]"
        case kind:
            return f"[{kind} left out: only text is read]"


async def library() -> None:
    """Load the MCP library, in a thread: it takes more than a second.

    Raises:
        NotInstalled: It is not there.
    """
    try:
        for name in ("mcp", "mcp.client.streamable_http", "localai.service.mcphttp"):
            await asyncio.to_thread(importlib.import_module, name)
    except ImportError:
        raise NotInstalled(EXTRA) from None


class McpClient:
    """Opens sessions with configured servers."""

    def __init__(self, remotes: Remotes, client: Client | None = None) -> None:
        """Take the configured servers; `client` is the outbound client, by default one that is patient with tools."""
        self.remotes = remotes
        longest = Deadlines(header=600, idle=600, window=600, rate=0, total=3600)
        self._client = client or Client(deadlines=longest)
        self._open = 0

    @asynccontextmanager
    async def sessions(self, names: Sequence[str], param: str = "mcp_servers") -> AsyncGenerator[list[Session]]:
        """Open a session with each of these servers, in this order.

        Raises:
            NotFound: One of them is not configured (`param` names the field).
            Overloaded: Too many sessions are open.
            LocalAIError: One cannot be opened; see `Session.open`.
        """
        sessions = [Session(name, self.remotes.get(name, param)) for name in dict.fromkeys(names)]
        if self._open + len(sessions) > SESSIONS:
            raise Overloaded("Too many sessions with MCP servers are open; try again soon.", retry_after=1)
        self._open += len(sessions)
        try:
            await _together([session.open(self._client) for session in sessions])
            yield sessions
        finally:
            self._open -= len(sessions)
            await asyncio.gather(*(session.close() for session in sessions), return_exceptions=True)


async def _together(work: Sequence[Any]) -> None:
    """Do all of it at once; the first error, once all are done."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
