"""Which addresses may be fetched from."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.core.errors import FetchFailed, FetchRefused
from localai.fetch.address import LIMIT, Origin, Route, addresses, lookup, origin, parse, public


def names(**known: list[str]):
    """A resolver that knows exactly these names."""

    async def find(host: str, port: int) -> list[str]:
        return known[host.partition(".")[0]]

    return find


def test_plain_urls():
    """A URL is read into scheme, host and port, and its path and query stay as they are written."""
    url = parse("https://Example.org/a%20b/c;d?sig=%2F%3d&x=1#part")
    assert origin(url) == Origin("https", "example.org", 443)
    assert url.raw_path_qs == "/a%20b/c;d?sig=%2F%3d&x=1"
    assert origin(parse("http://example.org:8080")) == Origin("http", "example.org", 8080)
    assert origin(parse("https://[2606:4700::1111]:444/x")) == Origin("https", "2606:4700::1111", 444)


def test_too_long():
    """A URL longer than the limit is refused."""
    with pytest.raises(FetchRefused):
        parse("https://example.org/" + "a" * LIMIT)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_impossible_port(port: str):
    """A port outside 1 to 65535 is refused."""
    with pytest.raises(FetchRefused):
        parse(f"https://example.org:{port}/")


@given(st.text(max_size=60))
def test_any_text(text: str):
    """Any text is either a URL whose host is exactly what is written there, or refused."""
    for candidate in (text, f"http://{text}", f"https://{text}/x"):
        try:
            url = parse(candidate)
        except FetchRefused:
            continue
        assert url.host
        assert url.user is None
        assert url.host.lower() in candidate.lower()


@given(st.ip_addresses(v=4))
def test_public_four(address: ipaddress.IPv4Address):
    """What counts as public IPv4 is global for Python too."""
    if public(str(address)):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_public_six(address: ipaddress.IPv6Address):
    """What counts as public IPv6 is global for Python too, and carries no IPv4 address inside."""
    if public(str(address)):
        assert address.is_global
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "2606:4700:4700::1111"])
def test_public(address: str):
    """Ordinary addresses of the internet are public."""
    assert public(address)


async def test_every_address_counts():
    """A name with one public and one private address is refused."""
    with pytest.raises(FetchRefused):
        await addresses(parse("https://mixed.example/"), Route(), names(mixed=["1.1.1.1", "10.0.0.1"]))


async def test_public_name():
    """A name whose addresses are all public gives these addresses to connect to."""
    assert await addresses(parse("https://good.example/"), Route(), names(good=["1.1.1.1", "8.8.8.8"])) == [
        "1.1.1.1",
        "8.8.8.8",
    ]


async def test_no_address():
    """A name without an address is refused."""
    with pytest.raises(FetchRefused):
        await addresses(parse("https://none.example/"), Route(), names(none=[]))


async def test_trusted_origin():
    """An origin the operator configured may have any address, but only with its own scheme, host and port."""
    find = names(index=["10.0.0.5"])
    route = Route(trusted=frozenset((Origin("https", "index.example", 443),)))
    assert await addresses(parse("https://index.example/x"), route, find) == ["10.0.0.5"]
    for other in ("http://index.example/x", "https://index.example:8443/x"):
        with pytest.raises(FetchRefused):
            await addresses(parse(other), route, find)


async def test_beside_the_index():
    """A file host may have the index's own address on the index's port, and no other address of a closed network."""
    find = names(index=["203.0.113.80"], files=["203.0.113.80"], other=["203.0.113.81"])
    index = frozenset((Origin("https", "index.example", 443),))
    route = Route(trusted=index, beside=index)
    assert await addresses(parse("https://files.example/x"), route, find) == ["203.0.113.80"]
    for refused in ("https://other.example/x", "https://files.example:8443/x", "http://files.example/x"):
        with pytest.raises(FetchRefused):
            await addresses(parse(refused), route, find)


async def test_lookup():
    """The system's resolver gives the addresses of a name once each, and an unknown name is a failure to tell."""
    assert "127.0.0.1" in await lookup("localhost", 80)
    with pytest.raises(FetchFailed):
        await lookup("no-such-name.invalid", 80)
