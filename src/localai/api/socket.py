"""Connections that become WebSockets: uvicorn's protocol for them, loaded with the first that asks.

What guards a connection before holds after: one message at a time is read, none is larger than a body may be, a peer
that does not answer pings is cut, and one that does not read holds up its own sender only.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

LEAVING = 1012
"""The code of an end that is the server's: it restarts, or goes."""
_MODULE = "uvicorn.protocols.websockets.websockets_sansio_impl"


def load() -> None:
    """Import what is needed (some 80 ms); for a thread."""
    __import__(_MODULE)


def become(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, hand_over: Callable[[], None]) -> None:
    """Load what is needed in a thread, during which nothing is read, and then hand the connection over."""

    def loaded(done: asyncio.Future[None]) -> None:
        if done.exception() is None and not transport.is_closing():
            hand_over()
            transport.resume_reading()

    transport.pause_reading()
    loop.run_in_executor(None, load).add_done_callback(loaded)


def protocol(config: Config, server_state: ServerState, app_state: dict[str, Any]) -> asyncio.Protocol:
    """The protocol of a connection that becomes a WebSocket; `load` comes first."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol  # noqa: PLC0415

    from localai.api.protocol import silent  # noqa: PLC0415 - it imports this module

    made = WebSocketsSansIOProtocol(config, server_state, app_state)
    made.logger = silent
    return made


def leave(connection: Any) -> None:
    """Tell whoever serves a WebSocket that the server leaves, so that it ends once its work is done."""
    connection.queue.put_nowait({"type": "websocket.disconnect", "code": LEAVING})
