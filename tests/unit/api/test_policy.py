"""Hosts and origins."""

import pytest

from localai.api.policy import Policy, arrive, preflight
from localai.core.errors import HostNotAllowed, InvalidRequest, OriginNotAllowed


def _check(policy: Policy, server: str = "127.0.0.1", **headers: str) -> bytes | None:
    fields = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return policy.check(arrive("GET", "http", server, fields))


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:1", "127.255.0.1", "[::1]:8080", "LocalHost:80", "localhost."]
)
def test_loopback(host):
    """Loopback names and addresses are served with any port."""
    assert _check(Policy(), host=host) is None


@pytest.mark.parametrize(
    "host", ["192.0.2.7", "evil.example", "localhost.evil.example", "0.0.0.0", "[::2]", "127.1.evil"]
)
def test_foreign(host):
    """Anything else is not."""
    with pytest.raises(HostNotAllowed):
        _check(Policy(), host=host)


def test_bound():
    """The address that is listened on, and the one a connection arrived at, are served."""
    _check(Policy(bound="192.0.2.7"), server="192.0.2.7", host="192.0.2.7:80")
    _check(Policy(bound="box.lan"), host="BOX.lan")
    with pytest.raises(HostNotAllowed):
        _check(Policy(bound="192.0.2.7"), server="192.0.2.7", host="192.0.2.8")


def test_wildcard_bind():
    """A server on all addresses is served by any address, for addresses cannot be rebound, but by no name."""
    _check(Policy(bound="0.0.0.0"), host="192.0.2.9:8080")
    _check(Policy(bound="::"), host="[2001:db8::1]")
    with pytest.raises(HostNotAllowed):
        _check(Policy(bound="0.0.0.0"), host="evil.example")


def test_everything_allowed():
    """`*` allows every host."""
    _check(Policy(allowed_hosts=("*",)), host="any.example")


@pytest.mark.parametrize("host", ["", "a b", "a/b", "user@localhost", "localhost:", "localhost:x", "[::1", "\xe9"])
def test_no_host(host):
    """What is not a host is refused as such."""
    with pytest.raises(InvalidRequest):
        _check(Policy(), host=host)


def test_origins():
    """The server's own origin and allowed ones pass, and only the foreign one is named."""
    policy = Policy(allowed_origins=("https://App.example/",))
    assert _check(policy, host="localhost:1", origin="http://localhost:1") is None
    assert _check(policy, host="localhost:1", origin="https://app.example") == b"https://app.example"
    for origin in ("http://localhost:2", "https://app.example.evil", "null", ""):
        with pytest.raises(OriginNotAllowed):
            _check(policy, host="localhost:1", origin=origin)


def test_two_origins():
    """Two Origin fields are one too many."""
    fields = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"origin", b"http://localhost")]
    with pytest.raises(OriginNotAllowed):
        Policy().check(arrive("GET", "http", "", fields))


def test_preflight_is_bounded():
    """Header names are given back only where they are names."""
    asked = [(b"access-control-request-headers", b"x-a, x-b\x00"), (b"access-control-request-private-network", b"true")]
    answer = dict(preflight(b"https://app.example", asked))
    assert b"access-control-allow-headers" not in answer
    assert answer[b"access-control-allow-private-network"] == b"true"
