"""What the first line of a request asks for."""

import httptools

from localai.core.errors import MalformedRequest


def check_target(target: bytes, host: bytes) -> None:
    """Take a path, or an address of the very host that the Host header names; nothing else.

    Raises:
        MalformedRequest: It is something else.
    """
    if target.startswith(b"/"):
        return
    parsed = httptools.parse_url(target)
    named = parsed.host + (b":%d" % parsed.port if parsed.port else b"") if parsed.host else b""
    if not target.startswith((b"http://", b"https://")) or named.lower() != host.lower():
        raise MalformedRequest
