"""Which addresses may be fetched from: a URL is read once and strictly, and every address it leads to is checked."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from yarl import URL

from localai.core.errors import FetchFailed, FetchRefused
from localai.fetch.proxies import NONE, Proxies

LIMIT = 4096
"""Characters of the longest URL that is read."""

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""(host name, port) -> all its addresses."""


class Origin(NamedTuple):
    """Where a URL leads: what secrets and trust are bound to."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Route:
    """What the operator allows for one request beyond the public internet."""

    trusted: frozenset[Origin] = frozenset()
    """Origins the operator configured: they may have any address."""
    beside: frozenset[Origin] = frozenset()
    """Origins whose own addresses other hosts may share (the files of a package index often live beside it)."""
    unverified: frozenset[str] = frozenset()
    """Hosts ("name" or "name:port") whose TLS certificate the operator chose not to check."""
    proxies: Proxies = field(default=NONE)


PUBLIC = Route()

_SHAPE = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]*)|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?#][!-~]*)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)\.?")

# Everything that is not plainly reachable through the public internet. Written out rather than asked of the
# `ipaddress` module, whose answer differs between the versions of Python that we run on.
_CLOSED_4 = [
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a cloud's metadata service
    )
]
_OPEN_6 = ipaddress.IPv6Network("2000::/3")
# Within the open range: special assignments with Teredo, documentation, 6to4, the old 6bone.
_CLOSED_6 = [
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")
]


def parse(text: str) -> URL:
    """Read an http(s) URL; the result is the only thing that is ever connected to.

    Raises:
        FetchRefused: Another scheme, a login, a backslash, blanks, control or non-ASCII characters, a number in
            a spelling other than four decimal parts as host, an impossible port, or more than LIMIT characters.
    """
    if len(text) > LIMIT:
        raise FetchRefused(f"This address is longer than {LIMIT} characters.")
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise FetchRefused(
            "This is not a plain http or https address; logins, blanks, backslashes and non-ASCII characters "
            "are not allowed in it."
        )
    host = shape["host"].lower()
    port = shape["port"]
    if port is not None and not 1 <= int(port) <= 65535:
        raise FetchRefused("The port of this address is not between 1 and 65535.")
    _check_spelling(host)
    try:
        url = URL(text, encoded=True).with_fragment(None)
        read = url.host
    except ValueError:
        raise FetchRefused("This address cannot be read.") from None
    if read is None or read.lower() != host.strip("[]"):
        raise FetchRefused("This address can be read in two ways.")
    return url


def _check_spelling(host: str) -> None:
    """Refuse what some part of the system could take for another address than we do ("127.1", "0x7f000001")."""
    if host.startswith("["):
        valid: type[ipaddress.IPv4Address | ipaddress.IPv6Address] = ipaddress.IPv6Address
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        valid = ipaddress.IPv4Address
    else:
        return
    try:
        valid(host.strip("[]"))
    except ValueError:
        raise FetchRefused("Write a numeric address as four decimal numbers, or IPv6 in brackets.") from None


def origin(url: URL) -> Origin:
    """Scheme, host and port of a URL that came out of `parse`."""
    return Origin(url.scheme.lower(), (url.host or "").lower(), url.port or 0)


def public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; every embedded or translated form does not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _CLOSED_4)
    return parsed in _OPEN_6 and not parsed.scope_id and not any(parsed in network for network in _CLOSED_6)


async def lookup(host: str, port: int) -> list[str]:
    """All addresses of a host, by the system's resolver.

    Raises:
        FetchFailed: The name is not known.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchFailed(f"The host `{host}` could not be found; check the address and the network.") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses(url: URL, route: Route, find: Lookup) -> list[str]:
    """Resolve the host of `url` once and check every address; connect to these and to nothing else.

    Raises:
        FetchRefused: One of the addresses is not public and the route does not allow it.
        FetchFailed: The host is not known.
    """
    place = origin(url)
    if place not in route.trusted and f".{place.host.rstrip('.')}".endswith(".localhost"):
        raise FetchRefused("`localhost` is this machine; only public addresses are fetched.")
    found = [place.host] if numeric(place.host) else await find(place.host, place.port)
    if place in route.trusted:
        return found
    closed = {address for address in found if not public(address)}
    if closed and route.beside:
        closed -= await _neighbours(place, route, find)
    if closed or not found:
        raise FetchRefused(f"`{place.host}` is not on the public internet; only public addresses are fetched.")
    return found


async def _neighbours(place: Origin, route: Route, find: Lookup) -> set[str]:
    known: set[str] = set()
    for other in route.beside:
        if (other.scheme, other.port) == (place.scheme, place.port):
            known.update(await find(other.host, other.port))
    return known


def numeric(host: str) -> bool:
    """Whether a host is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
