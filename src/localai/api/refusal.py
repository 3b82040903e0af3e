"""A whole HTTP answer, for where there is no request to answer."""

import orjson

from localai.api import errors, visit
from localai.core.errors import LocalAIError


def refusal(error: LocalAIError) -> bytes:
    """The bytes that refuse a connection with `error` and announce its end."""
    body = orjson.dumps(errors.shape(error))
    phrase = "Request Header Fields Too Large" if error.status == 431 else type(error).__name__
    fields = {
        **errors.headers(error),
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": visit.identifier(None),
        "connection": "close",
    }
    lines = [f"HTTP/1.1 {error.status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
