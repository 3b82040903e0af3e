"""The routes an operator's tools ask: health, metrics, version, and a word about what this is.

The health routes need no key, no thread and no database: they answer at any load for as long as the loop turns.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from localai.api.readiness import Readiness
from localai.api.replies import json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.observe.metrics import Metrics

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

WELCOME = """This is LocalAI {version}: your own AI server.

It answers OpenAI's and Anthropic's API under /v1 and Ollama's under /api: point a client at this address (plus /v1 for
OpenAI's), with a key of this server.
/docs lists all routes, /openapi.json describes them, /readyz says whether models can be asked.
"""

ALIVE = "Ollama is running"
"""What Ollama says at its root, and what its clients look for there."""

_TAG = "operations"
_STATUS = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}


def rows(readiness: Readiness, metrics: Metrics, version: str) -> list[Row]:
    """The operations routes."""
    routes = Operations(readiness, metrics, version)
    return [
        Row("GET", "/", routes.welcome, "public", "What this is", tag=_TAG, listed=False),
        Row("GET", "/livez", routes.live, "public", "Whether the server runs", tag=_TAG, answer=_STATUS),
        Row("GET", "/healthz", routes.health, "public", "How the server is", tag=_TAG, answer=_STATUS),
        Row("GET", "/readyz", routes.ready, "public", "Whether the server takes work", tag=_TAG, answer=_STATUS),
        Row("GET", "/version", routes.tell_version, "public", "The version of the server", tag=_TAG),
        Row(
            "GET",
            "/metrics",
            routes.render,
            "metrics",
            "Figures in Prometheus' text format",
            tag=_TAG,
            media=("text/plain",),
        ),
    ]


class Operations:
    """The handlers."""

    def __init__(self, readiness: Readiness, metrics: Metrics, version: str) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._version = version

    async def welcome(self, request: Request, caller: Caller) -> Response:
        """A short text for people, who come with a browser; what clients of Ollama look for, for all others."""
        first = request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip().lower()
        return PlainTextResponse(WELCOME.format(version=self._version) if first == "text/html" else ALIVE)

    async def live(self, request: Request, caller: Caller) -> Response:
        """200 as long as the event loop turns, which this answer proves."""
        return json_reply({"status": "ok"})

    async def health(self, request: Request, caller: Caller) -> Response:
        """200 with what is missing for work, if anything is: for people and for liveness probes."""
        missing = self._readiness.missing
        return json_reply({"status": "degraded" if missing else "ok", "missing": missing})

    async def ready(self, request: Request, caller: Caller) -> Response:
        """200 when requests would be served, else 503 with the reasons."""
        missing = self._readiness.missing
        return json_reply({"status": "unavailable" if missing else "ok", "missing": missing}, 503 if missing else 200)

    async def tell_version(self, request: Request, caller: Caller) -> Response:
        """The version, as in the package."""
        return json_reply({"version": self._version})

    async def render(self, request: Request, caller: Caller) -> Response:
        """All series."""
        return Response(self._metrics.render(), media_type=EXPOSITION)
