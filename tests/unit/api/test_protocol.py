"""What the connection itself answers, and which targets it takes."""

import json

import pytest

from localai.api import protocol
from localai.core.errors import HeadTooLarge, MalformedRequest, Overloaded


def test_raw():
    """An answer of the connection is whole HTTP with the shape, the id and the headers of every error."""
    head, body = protocol._raw(Overloaded(retry_after=1)).split(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 503 Overloaded"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert (fields["retry-after"], fields["connection"]) == ("1", "close")
    assert fields["x-request-id"].startswith("req_")
    assert int(fields["content-length"]) == len(body)
    assert json.loads(body)["error"]["code"] == "overloaded"
    assert protocol._raw(HeadTooLarge()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("target", [b"/", b"//x", b"/a?b=http://evil", b"http://a:80/x", b"https://a:80/"])
def test_targets(target):
    """A path is taken, and an address of the host that the Host header names."""
    protocol._check_target(target, b"A:80")


@pytest.mark.parametrize(
    "target", [b"*", b"http://b:80/", b"http://a/", b"http://a:80@b/", b"a:80", b"ftp://a:80/", b"x"]
)
def test_foreign_targets(target):
    """Anything else is refused."""
    with pytest.raises((MalformedRequest, protocol.httptools.HttpParserError)):
        protocol._check_target(target, b"a:80")
