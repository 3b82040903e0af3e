"""What the edge notes about one request while it is served; it travels in the ASGI scope."""

import re
import secrets
import time
from typing import cast

from starlette.requests import Request
from starlette.types import Scope

_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Visit:
    """The facts of one request that its metrics and its log line are made of."""

    __slots__ = ("caller", "error", "id", "model", "named", "prefix", "route", "started", "status", "unknown_fields")

    def __init__(self, identifier: str) -> None:
        self.id = identifier
        self.started = time.monotonic()
        self.route = "unmatched"
        """The template of the matched row."""
        self.status = 0
        """The HTTP status sent; 0 until then."""
        self.model = ""
        """The installed model that was asked; set by the dialect once the name is resolved."""
        self.named: str | None = None
        """The model that the path names; it stands in the body's place of `model` (see `api.named`)."""
        self.prefix = ""
        """What links to this server start with: the path under which a proxy offers it."""
        self.caller = ""
        """The id of the caller."""
        self.error = ""
        """The code of the error the answer ended with, also when it came in the middle of a stream."""
        self.unknown_fields = 0
        """Fields of the body nobody knows."""


def of(request: Request) -> Visit:
    """The visit of a request that came through the edge (a fresh one where there was none)."""
    return within(request.scope)


def within(scope: Scope) -> Visit:
    """The visit of an ASGI scope (a fresh one where there was none)."""
    state = cast("dict[str, object]", scope.setdefault("state", {}))
    visit = state.setdefault("visit", None)
    if not isinstance(visit, Visit):
        state["visit"] = visit = Visit(identifier(None))
    return visit


def identifier(given: bytes | None) -> str:
    """The client's own request id when it is 1-128 plain characters, else a new one."""
    if given is not None and _GIVEN.fullmatch(given):
        return given.decode("ascii")
    return f"req_{secrets.token_hex(12)}"
