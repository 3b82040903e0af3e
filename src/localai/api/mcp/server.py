"""Our MCP server: the official library between a request that our guard let in, and our tools.

The library is imported with the first request, and there is one session manager for all of them: stateless, so a
request of the protocol of 2026 and one of the older handshake are both answered by themselves.
"""

import asyncio
import importlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
from starlette.types import Receive, Scope, Send

from localai.api.body import parse
from localai.api.errors import narrow
from localai.api.mcp.tools import Offer, Report, Tools
from localai.core.caller import Caller
from localai.core.errors import LocalAIError, NotInstalled, ShuttingDown
from localai.observe.logs import get
from localai.service.mcpclient import EXTRA

log = get("localai.audit")

T = TypeVar("T")

BODY = 16 * 2**20
"""Bytes of one request."""
EVERY = 16
"""Pieces of an answer after which its progress is told."""

_INVALID_PARAMS = -32602
_CALLER = "localai.caller"


class McpServer:
    """Serves MCP requests. The first one starts it, `stop` ends it."""

    def __init__(self, tools: Tools, version: str) -> None:
        self._tools = tools
        self._version = version
        self._types: Any = None
        self._manager: Any = None
        self._running: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    async def ready(self) -> None:
        """Start, once.

        Raises:
            NotInstalled: The library is not there.
            ShuttingDown: The server is leaving.
        """
        if self._stop.is_set():
            raise ShuttingDown(retry_after=5)
        if self._running is not None and self._running.done():
            self._running = self._starting = None
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        starting = self._starting
        try:
            await asyncio.shield(starting)
        except NotInstalled:
            self._starting = None
            raise

    async def serve(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a caller who may `infer`; `ready` came first."""
        scope.setdefault("state", {})[_CALLER] = caller
        await self._manager.handle_request(scope, receive, send)

    async def stop(self) -> None:
        """End what runs."""
        self._stop.set()
        if self._running is not None:
            await self._running

    async def _start(self) -> None:
        try:
            lowlevel = await asyncio.to_thread(importlib.import_module, "mcp.server.lowlevel")
            managers = await asyncio.to_thread(importlib.import_module, "mcp.server.streamable_http_manager")
            self._types = await asyncio.to_thread(importlib.import_module, "mcp_types")
        except ImportError:
            raise NotInstalled(EXTRA) from None
        server = lowlevel.Server(
            "localai",
            version=self._version,
            title="LocalAI",
            instructions="Local models: list them, chat, embed, rerank; with the right to it, load and unload them.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._manager = managers.StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=BODY)
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run(up))
        await up

    async def _run(self, up: "asyncio.Future[None]") -> None:
        async with self._manager.run():
            up.set_result(None)
            await self._stop.wait()

    async def _list(self, context: Any, _params: Any) -> Any:
        offers = self._tools.offers(_caller(context))
        return self._types.ListToolsResult(tools=[self._shape(offer) for offer in offers])

    def _shape(self, offer: Offer) -> Any:
        return self._types.Tool(
            name=offer.name,
            description=offer.summary,
            input_schema=offer.body.model_json_schema(),
            annotations=self._types.ToolAnnotations(read_only_hint=offer.reads, open_world_hint=False),
        )

    async def _call(self, context: Any, params: Any) -> Any:
        caller, name = _caller(context), str(params.name)
        offer = self._tools.get(name)
        if offer is None:
            raise importlib.import_module("mcp").MCPError(_INVALID_PARAMS, "There is no such tool.")
        try:
            caller.require(offer.scope)
            raw = orjson.dumps(params.arguments or {})
            body = parse(raw, offer.body)[0]
            found = await apart(offer.does(caller, body, _report(context)))
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is narrowed, and told like the rest
            known = narrow(error)
            log.info("tool served", caller=caller.id, tool=name, outcome=known.code)
            return self._failed(known)
        log.info("tool served", caller=caller.id, tool=name, outcome="ok")
        return self._types.CallToolResult(content=[self._text(_written(found))], structured_content=found)

    def _failed(self, error: LocalAIError) -> Any:
        facts = {"code": error.code, "message": error.message, "param": error.param, "retry": error.retry}
        return self._types.CallToolResult(
            content=[self._text(error.message)], structured_content={"error": facts}, is_error=True
        )

    def _text(self, text: str) -> Any:
        return self._types.TextContent(type="text", text=text)


def _written(found: dict[str, Any]) -> str:
    """A result as text: what a model said as it is, the rest as JSON."""
    text = found.get("text")
    return text if isinstance(text, str) else orjson.dumps(found).decode()


def _caller(context: Any) -> Caller:
    found = context.request.scope["state"][_CALLER]
    assert isinstance(found, Caller), "serve() put it there"  # noqa: S101 - a mistake of ours, not of a user
    return found


def _report(context: Any) -> Report:
    calls = 0

    async def report(done: float, total: float | None) -> None:
        nonlocal calls
        calls += 1
        if calls % EVERY == 0:
            await context.session.report_progress(done, total)

    return report


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that runs in a task of its own.

    The library cancels again and again until its scope is left, which would also break what cleans up; so the work
    is cancelled once, and cleans up by itself.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        raise
