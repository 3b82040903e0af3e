"""A real MCP server of the official library, as a process of its own: a few tools, behind a key.

Run as a script: PORT SECRET ERA; in the era `old` it knows the handshake of before 2026 only.
"""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SECRET = "s3cret-for-tools"


class ToolServer:
    """A running server."""

    def __init__(self, era: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.port), SECRET, era],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the tool server ended"
            try:
                urllib.request.urlopen(self.url, timeout=5)
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the tool server did not start")

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(30)


@contextlib.contextmanager
def tool_server(era: str = "new") -> Iterator[ToolServer]:
    """A server that answers, killed afterwards."""
    running = ToolServer(era)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def configured(folder: Path, server: ToolServer, **more: object) -> Path:
    """A file of servers that names it `desk`, with its key in a file of its own."""
    import json

    secret = folder / "tools.key"
    secret.write_text(f"Bearer {SECRET}\n")
    entry = {"url": server.url, "private": True, "secret_headers": {"Authorization": str(secret)}, **more}
    file = folder / "mcp.yaml"
    file.write_text(json.dumps({"desk": entry}))
    return file


def serve(port: int, secret: str, era: str) -> None:
    """Run the server."""
    import asyncio

    import uvicorn
    from mcp.server import MCPServer

    server = MCPServer("desk")
    called: list[str] = []

    @server.tool()
    def clock() -> str:
        """What time it is."""
        return "It is noon."

    @server.tool()
    def add(a: int, b: int) -> str:
        """The sum of two numbers."""
        return str(a + b)

    @server.tool()
    def fails() -> str:
        """Never works."""
        raise ValueError("no luck")

    @server.tool()
    def huge() -> str:
        """Says too much."""
        return "x" * 200_000

    @server.tool()
    async def sleepy() -> str:
        """Takes its time."""
        called.append("sleepy")
        await asyncio.sleep(60)
        return "late"

    inner = server.streamable_http_app(json_response=False)

    async def app(scope, receive, send):
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            refused = headers.get(b"authorization") != f"Bearer {secret}".encode()
            modern = era == "old" and headers.get(b"mcp-protocol-version", b"").startswith(b"2026")
            if refused or modern:
                await send({"type": "http.response.start", "status": 401 if refused else 400, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await inner(scope, receive, send)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
