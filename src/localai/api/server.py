"""The listening server: uvicorn's connections with our own start, deadlines, drain and signals."""

import asyncio
import contextlib
import errno
import ipaddress
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from email.utils import formatdate
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from localai.api import socket
from localai.api.framing import Limits
from localai.api.protocol import Connection, ours
from localai.api.readiness import Readiness
from localai.core.errors import Conflict, InvalidRequest
from localai.observe import logs
from localai.observe.metrics import Metrics

RESERVED = 128
"""File descriptors kept for workers, models and the database; connections never take them."""

Drain = Callable[[], Awaitable[None]]
"""Returns once every running request has finished or was failed."""

_log = logs.get("localai.server")


class Server:
    """Serves an ASGI application on one address, in whatever loop `start` is called in."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        limits: Limits,
        readiness: Readiness,
        metrics: Metrics,
        more: tuple[int, ...] = (),
    ) -> None:
        """Prepare; `more` are ports of the same host that the same application is served on too."""
        self._host = host
        self._ports = (port, *more)
        self._limits = replace(limits, connections=min(limits.connections, capacity()))
        self._readiness = readiness
        self._metrics = metrics
        self._state = ServerState()
        self._config = _config(app, self._limits)
        self._listeners: list[asyncio.Server] = []
        self._ticking: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._forced = asyncio.Event()

    async def start(self) -> str:
        """Listen; answer the URL.

        Raises:
            Conflict: The port is taken.
            InvalidRequest: The address is not one of this machine, or may not be used.
        """
        self._config.load()
        loop = asyncio.get_running_loop()
        for port in self._ports:
            try:
                listener = await loop.create_server(self._connection, self._host or None, port, backlog=2048)
            except OSError as error:
                self._close_listeners()
                flag = "--port" if port == self._ports[0] else "--ollama-port"
                raise _refusal(error, self._host, port, flag) from None
            self._listeners.append(listener)
        self._stamp()
        self._ticking = asyncio.create_task(self._tick(), name="server-tick")
        return self.addresses[0]

    @property
    def addresses(self) -> list[str]:
        """The URLs it listens on; the first is its own."""
        return [address(self._host, listener.sockets[0].getsockname()[1]) for listener in self._listeners]

    async def run(self, drain: Drain, *, signals: bool = True) -> None:
        """Serve until `leave` is called (by SIGTERM or SIGINT when `signals`), then stop."""
        loop = asyncio.get_running_loop()
        caught = (signal.SIGTERM, signal.SIGINT) if signals else ()
        for number in caught:
            loop.add_signal_handler(number, self.leave)
        try:
            await self._leaving.wait()
            await self.stop(drain)
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def leave(self) -> None:
        """Ask for a stop; asked twice, stop at once."""
        if self._leaving.is_set():
            self._forced.set()
        self._leaving.set()
        self._readiness.draining = True
        self._close_listeners()

    async def stop(self, drain: Drain | None = None) -> None:
        """Take nothing new, wait for `drain`, let the last answers go out, close everything."""
        self._leaving.set()
        self._readiness.draining = True
        self._close_listeners()
        for connection in ours(self._state.connections):
            connection.shutdown()
        if drain is not None:
            await self._unless_forced(_awaited(drain))
        for connection in self._state.connections.difference(ours(self._state.connections)):
            socket.leave(connection)
        await self._unless_forced(self._settle())
        await self._end()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    async def _unless_forced(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for `work`, but no longer than until the stop is forced."""
        waiting = asyncio.create_task(work)
        forced = asyncio.create_task(self._forced.wait())
        try:
            await asyncio.wait((waiting, forced), return_when=asyncio.FIRST_COMPLETED)
        finally:
            forced.cancel()
            waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError:
            _log.warning("stop_forced")
        except Exception as error:  # noqa: BLE001 - leaving goes on, whatever the drain met
            _log.failure("drain_failed", error)

    async def _settle(self) -> None:
        """Wait until the running requests have gone out, at most `flush_seconds`."""
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=self._limits.flush_seconds)

    async def _end(self) -> None:
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in ours(self._state.connections):
            _ = connection.transport.abort() if self._forced.is_set() else connection.transport.close()
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        await asyncio.sleep(0)  # one turn of the loop, in which the transports tell their connections
        self._listeners = []

    def _connection(self) -> Connection:
        return Connection(self._config, self._state, self._limits, self._metrics)

    async def _tick(self) -> None:
        """Look at every connection's deadlines, for as long as the server lives."""
        while True:
            await asyncio.sleep(self._limits.tick)
            self._stamp()
            now = time.monotonic()
            for connection in ours(self._state.connections):
                connection.overdue(now)

    def _stamp(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]


async def _awaited(drain: Drain) -> None:
    await drain()


def _config(app: ASGIApp, limits: Limits) -> Config:
    return Config(
        app=app,
        interface="asgi3",
        lifespan="off",
        http="httptools",
        ws=cast("Any", socket.protocol),
        ws_max_size=limits.body_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=max(1, round(limits.idle_seconds)),
    )


def _refusal(error: OSError, host: str, port: int, flag: str) -> Conflict | InvalidRequest:
    if error.errno == errno.EADDRINUSE:
        return Conflict(f"Port {port} of {host} is taken by another program; choose one with `{flag}`.", param="port")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return InvalidRequest(f"Port {port} needs more rights; choose one above 1023 with `{flag}`.", param="port")
    return InvalidRequest(f"`{host}` is not an address of this machine; choose one with `--host`.", param="host")


def address(host: str, port: int) -> str:
    """The URL under which a server bound to `host` is reached from this machine."""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(host)
        if parsed.is_unspecified:
            host = "127.0.0.1" if parsed.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host or '127.0.0.1'}:{port}"


def capacity() -> int:
    """Connections the limit of open files leaves room for, so that accepting never fails for want of one."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 400
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(16, soft // 2 if soft < 2 * RESERVED else soft - RESERVED)
