"""Which targets a connection takes."""

import httptools
import pytest

from localai.api.target import check_target
from localai.core.errors import MalformedRequest


@pytest.mark.parametrize("target", [b"/", b"//x", b"/a?b=http://evil", b"http://a:80/x", b"https://a:80/"])
def test_targets(target):
    """A path is taken, and an address of the host that the Host header names."""
    check_target(target, b"A:80")


@pytest.mark.parametrize(
    "target", [b"*", b"http://b:80/", b"http://a/", b"http://a:80@b/", b"a:80", b"ftp://a:80/", b"x"]
)
def test_foreign_targets(target):
    """Anything else is refused."""
    with pytest.raises((MalformedRequest, httptools.HttpParserError)):
        check_target(target, b"a:80")
