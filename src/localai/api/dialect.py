"""Which dialect a request speaks, and what an error looks like in it."""

import re
from typing import Any, Literal

from starlette.types import Scope

from localai.core.errors import ContextLengthExceeded, LocalAIError, Overloaded

Dialect = Literal["openai", "anthropic", "ollama", "problem"]

_OURS = "/api/admin"
"""Paths under this prefix answer errors as application/problem+json (RFC 9457)."""
_LM_STUDIO = "/api/v1/"
"""LM Studio's routes; their errors have OpenAI's shape."""
_MESSAGES = ("/v1/messages", "/messages", "/api/hello")

_FIGURES = re.compile(r"has (\d+) tokens; this model takes (\d+)")
"""The tokens of a prompt and those of the context, in the words of an engine."""

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Anthropic's error types by status; what is not here is one of the request (4xx) or of the server (5xx)."""


def spoken(scope: Scope) -> Dialect:
    """The dialect of a request, by its path (and, where two share one, by Anthropic's version header)."""
    path = str(scope.get("path", ""))
    if path == _OURS or path.startswith(_OURS + "/"):
        return "problem"
    if path.startswith(_MESSAGES) or _is_anthropic(scope):
        return "anthropic"
    if path.startswith("/api/") and not path.startswith(_LM_STUDIO):
        return "ollama"
    return "openai"


def status(error: LocalAIError, dialect: Dialect) -> int:
    """The HTTP status of an error: Anthropic has one of its own for a server that is full."""
    return 529 if dialect == "anthropic" and isinstance(error, Overloaded) else error.status


def shape(error: LocalAIError, dialect: Dialect = "openai", request: str = "") -> dict[str, Any]:
    """The body of an error as clients of the dialect expect it; `request` is the request's id."""
    match dialect:
        case "anthropic":
            number = status(error, dialect)
            kind = _KINDS.get(number) or ("invalid_request_error" if number < 500 else "api_error")
            named = {"type": "error", "error": {"type": kind, "message": _anthropics(error)}}
            return {**named, "request_id": request} if request else named
        case "ollama":
            told = error.param is None or error.param in error.message
            return {"error": error.message if told else f"{error.message} (`{error.param}`)"}
        case "openai" | "problem":
            return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def _anthropics(error: LocalAIError) -> str:
    """A message with the field in it, as there is no other place to name it.

    Agents shorten a conversation when they read that the prompt is too long, and by how much from the figures.
    """
    if isinstance(error, ContextLengthExceeded):
        found = _FIGURES.search(error.message)
        figures = f": {found[1]} tokens > {found[2]} maximum" if found else ""
        return f"prompt is too long{figures}. {error.message}"
    known = error.param is None or error.param in error.message
    return error.message if known else f"{error.param}: {error.message}"


def _is_anthropic(scope: Scope) -> bool:
    return any(name == b"anthropic-version" for name, _ in scope.get("headers", ()))
