"""Refusals written straight to a connection."""

import json

import pytest

from localai.api.refusal import refusal
from localai.core.errors import HeadTooLarge, MalformedRequest, Overloaded


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MalformedRequest(), b"HTTP/1.1 400 MalformedRequest"),
        (HeadTooLarge(), b"HTTP/1.1 431 Request Header Fields Too Large"),
        (Overloaded("Later.", retry_after=1), b"HTTP/1.1 503 Overloaded"),
    ],
)
def test_a_refusal_is_a_whole_answer(error, line):
    """A refusal has a status line, its length, the error in OpenAI's shape, and says that the connection ends."""
    head, _, body = refusal(error).partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert first == line
    named = dict(field.lower().split(b": ", 1) for field in fields)
    assert named[b"connection"] == b"close"
    assert int(named[b"content-length"]) == len(body)
    assert named[b"x-request-id"].startswith(b"req_")
    assert json.loads(body)["error"]["code"] == error.code
    assert (b"retry-after" in named) is (error.code == "overloaded")
