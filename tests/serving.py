"""Rows of the route table behind the real edge and the real server, in a thread of this process."""

import asyncio
import contextlib
import http.client
import json
import threading

from localai.api.edge import Edge
from localai.api.framing import Limits
from localai.api.policy import Policy
from localai.api.readiness import Readiness
from localai.api.server import Server
from localai.api.table import build
from localai.core.caller import LOCAL
from localai.core.errors import Unauthenticated
from localai.observe import logs
from localai.observe.metrics import Metrics

KEY = "sk-test"


class FakeAuthenticator:
    """Knows one key."""

    async def identify(self, secret):
        if secret != KEY:
            raise Unauthenticated
        return LOCAL


class Serving:
    """A server on a port of its own."""

    def __init__(self, url):
        self.url = url
        self.port = int(url.rsplit(":", 1)[1])
        self.key = KEY

    def ask(self, method, path, body=None, headers=None):
        """One request; gives status, headers and JSON (or text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Authorization": f"Bearer {KEY}", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get("content-type", "")
        return answer.status, answer.headers, json.loads(text) if kind.endswith(("/json", "+json")) else text.decode()

    def post(self, path, **body):
        """One POST; gives status and JSON (or text)."""
        status, _, answer = self.ask("POST", path, body)
        return status, answer


@contextlib.contextmanager
def serving(rows, sockets=()):
    """Serve rows until the block ends."""
    ready = threading.Event()
    held = {}

    async def serve():
        metrics, readiness = Metrics(), Readiness()
        app = Edge(
            build(rows, FakeAuthenticator(), sockets=sockets),
            policy=Policy(),
            metrics=metrics,
            readiness=readiness,
            body_limit=32 * 2**20,
        )
        server = Server(app, host="127.0.0.1", port=0, limits=Limits(), readiness=readiness, metrics=metrics)
        held["url"] = await server.start()
        held["loop"], held["server"] = asyncio.get_running_loop(), server

        async def drained():
            pass

        ready.set()
        await server.run(drained, signals=False)

    quiet, logs._settings.level = logs._settings.level, logs.LEVELS["error"]
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30), "the server did not start"
    try:
        yield Serving(held["url"])
    finally:
        held["loop"].call_soon_threadsafe(held["server"].leave)
        thread.join(30)
        logs._settings.level = quiet
