"""Which hosts are served and which web origins may call: the guard against DNS rebinding and cross-site requests.

It holds on every request, also on loopback: a page in the user's own browser reaches loopback too.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from localai.core.errors import HostNotAllowed, InvalidRequest, OriginNotAllowed, UnsupportedMediaType

Headers = Sequence[tuple[bytes, bytes]]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_TOKENS = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED = b"x-request-id, request-id, x-should-retry, retry-after, retry-after-ms"


@dataclass(frozen=True)
class Arrival:
    """What the policy reads of a request's head; `server` is the address the connection arrived at."""

    method: str
    scheme: str
    server: str
    hosts: tuple[bytes, ...] = ()
    origins: tuple[bytes, ...] = ()
    site: bytes = b""
    mode: bytes = b""
    encoding: bytes = b""


@dataclass(frozen=True)
class Policy:
    """The hosts and origins of one server. `bound` is the address it was told to listen on."""

    bound: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    def check(self, arrival: Arrival) -> bytes | None:
        """Refuse what may not come in; answer the allowed foreign origin it came from, if one.

        Raises:
            InvalidRequest: No Host, more than one, or one that is not a host.
            HostNotAllowed: A Host this server does not serve.
            OriginNotAllowed: A page of another site sent this.
            UnsupportedMediaType: The body is compressed.
        """
        host = self._host(arrival)
        origin = self._origin(arrival, host)
        if arrival.encoding.strip().lower() not in {b"", b"identity"}:
            raise UnsupportedMediaType("A compressed body is not taken; send it without `Content-Encoding`.")
        return origin

    def _host(self, arrival: Arrival) -> bytes:
        if len(arrival.hosts) != 1:
            raise InvalidRequest("A request needs exactly one Host header.")
        host = arrival.hosts[0]
        match = _HOST.fullmatch(host.decode("latin-1").lower())
        if match is None:
            raise InvalidRequest("The Host header is not a host.")
        if not self._served(match["name"].strip("[]").rstrip("."), arrival.server):
            raise HostNotAllowed
        return host

    def _served(self, name: str, server: str) -> bool:
        return (
            name in {"localhost", self.bound.lower(), server}
            or _is_loopback(name)
            or (_is_wildcard(self.bound) and _address(name) is not None)
            or any(fnmatchcase(name, pattern.lower()) for pattern in self.allowed_hosts)
        )

    def _origin(self, arrival: Arrival, host: bytes) -> bytes | None:
        if not arrival.origins:
            if arrival.site == b"cross-site" and not _is_navigation(arrival):
                raise OriginNotAllowed("Requests from pages of other sites are not allowed.")
            return None
        origin = arrival.origins[0]
        if len(arrival.origins) == 1 and origin.lower() == b"%s://%s" % (arrival.scheme.encode(), host.lower()):
            return None
        if len(arrival.origins) > 1 or not self.allows(origin):
            raise OriginNotAllowed
        return origin

    def allows(self, origin: bytes) -> bool:
        """Whether pages of that origin (scheme://host:port) may call."""
        return origin.decode("latin-1").rstrip("/").lower() in {
            allowed.rstrip("/").lower() for allowed in self.allowed_origins
        }


def _is_navigation(arrival: Arrival) -> bool:
    """A link that a person followed: safe, for the page that holds it cannot read the answer."""
    return arrival.mode == b"navigate" and arrival.method in {"GET", "HEAD"}


@lru_cache(maxsize=256)
def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_loopback


def _is_wildcard(bound: str) -> bool:
    address = _address(bound)
    return bound == "" or (address is not None and address.is_unspecified)


def arrive(method: str, scheme: str, server: str, headers: Headers) -> Arrival:
    """Read what the policy needs out of a request's headers (names in lower case)."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _READ:
            found.setdefault(name, []).append(value)
    return Arrival(
        method=method,
        scheme=scheme,
        server=server,
        hosts=tuple(found.get(b"host", ())),
        origins=tuple(found.get(b"origin", ())),
        site=b"".join(found.get(b"sec-fetch-site", ())),
        mode=b"".join(found.get(b"sec-fetch-mode", ())),
        encoding=b",".join(found.get(b"content-encoding", ())),
    )


_READ = frozenset((b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"content-encoding"))


def shared(origin: bytes) -> list[tuple[bytes, bytes]]:
    """The headers that let a page of an allowed origin read the answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]


def preflight(origin: bytes, headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers that answer a browser's question beforehand, with every header it asked for (x-stainless-* too)."""
    asked = next((value for name, value in headers if name == b"access-control-request-headers"), b"")
    answer = [*shared(origin), (b"access-control-allow-methods", _METHODS), (b"access-control-max-age", b"600")]
    if _TOKENS.fullmatch(asked):
        answer.append((b"access-control-allow-headers", asked))
    if any(name == b"access-control-request-private-network" for name, _ in headers):
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer
