"""Where an error becomes an answer: in the shape of the dialect, or as a problem document on our own routes."""

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from localai.api.dialect import shape, spoken, status
from localai.api.visit import within
from localai.core.errors import (
    Cancelled,
    InternalError,
    InvalidRequest,
    LocalAIError,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
)
from localai.observe import logs

_log = logs.get("localai.api")


def problem(error: LocalAIError, request: str) -> dict[str, Any]:
    """The body of an error as a problem document; `request` is the request's id."""
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    facts = {
        "type": f"urn:localai:error:{error.code}",
        "title": title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "param": error.param,
        "retry_after": error.retry_after,
        "request_id": request,
    }
    return {key: value for key, value in facts.items() if value is not None}


def headers(error: LocalAIError) -> dict[str, str]:
    """What clients read before the body: whether and when to try again, and how to say who one is."""
    found = {"x-should-retry": "true" if error.retry else "false"}
    if error.retry_after is not None:
        found["retry-after"] = str(max(1, math.ceil(error.retry_after)))
        found["retry-after-ms"] = str(max(1, math.ceil(error.retry_after * 1000)))
    if isinstance(error, Unauthenticated):
        found["www-authenticate"] = 'Bearer realm="localai"'
    if error.status in {408, 413}:
        found["connection"] = "close"
    return found


def narrow(error: BaseException) -> LocalAIError:
    """The error of our tree that a client may see; one that nobody foresaw is logged and becomes InternalError."""
    match error:
        case LocalAIError():
            return error
        case ClientDisconnect():
            return Cancelled("The client went away before its request was complete.")
        case HTTPException(status_code=404):
            return NotFound("There is nothing at this path; `/openapi.json` lists what there is.")
        case HTTPException(status_code=405):
            return MethodNotAllowed()
        case HTTPException(status_code=status) if status < 500:
            return InvalidRequest()
        case _:
            _log.failure("unexpected", error)
            return InternalError()


def reply(error: LocalAIError, scope: Scope, more: Mapping[str, str] | None = None) -> Response:
    """The whole answer for `error` to the request of `scope`."""
    visit = within(scope)
    visit.error = error.code
    dialect = spoken(scope)
    ours = dialect == "problem"
    named = {"request-id": visit.id} if dialect == "anthropic" else {}
    return Response(
        orjson.dumps(problem(error, visit.id) if ours else shape(error, dialect, visit.id)),
        status_code=status(error, dialect),
        media_type="application/problem+json" if ours else "application/json",
        headers={**headers(error), **named, **(more or {})},
    )
