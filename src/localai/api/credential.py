"""Who asks: one reading of every spelling of a credential, and patience with those who guess."""

import hashlib
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from starlette.requests import HTTPConnection

from localai.core.caller import Caller, Scope
from localai.core.errors import InvalidRequest, RateLimited, Unauthenticated

PLAIN = (b"x-api-key", b"api-key", b"xi-api-key")
"""Headers that hold nothing but the key: Anthropic's, Azure's, ElevenLabs'."""

LONGEST = 4096
FAILURES = 10
WINDOW = 60.0
ADDRESSES = 4096
"""Peers whose failures are remembered; the longest silent is forgotten first."""
GOOD = 1024
"""Keys that lately proved right, by digest: a neighbour behind the same proxy who guesses does not lock them out."""

ANYONE = Caller(id="anonymous", owner="anonymous")
"""The caller of a public route; nobody looked at the credential."""


class Authenticator(Protocol):
    """Turns a secret into a caller."""

    async def identify(self, secret: str | None) -> Caller:
        """The caller `secret` belongs to; raises Unauthenticated."""
        ...


class Guard:
    """Decides who a request comes from and whether that caller may pass."""

    def __init__(self, authenticator: Authenticator, clock: Callable[[], float] = time.monotonic) -> None:
        self._authenticator = authenticator
        self._throttle = Throttle(clock)
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def admit(self, request: HTTPConnection, scope: Scope) -> Caller:
        """The caller of `request`.

        Raises:
            InvalidRequest: Two credentials that differ.
            Unauthenticated: No key, or a wrong one.
            RateLimited: Too many wrong keys from this address.
            Forbidden: The key lacks `scope`.
        """
        if scope == "public":
            return ANYONE
        secret = extract(request.scope["headers"])
        caller = await self._identify(secret, request.client.host if request.client else "")
        caller.require(scope)
        return caller

    async def _identify(self, secret: str | None, peer: str) -> Caller:
        digest = hashlib.sha256((secret or "").encode()).digest()
        known = digest in self._good
        if secret is not None and not known:
            self._throttle.check(peer)
        try:
            caller = await self._authenticator.identify(secret)
        except Unauthenticated:
            self._good.pop(digest, None)
            if secret is not None:
                self._throttle.failed(peer)
            raise
        if not known:
            self._remember(digest)
        return caller

    def _remember(self, digest: bytes) -> None:
        self._good[digest] = None
        if len(self._good) > GOOD:
            self._good.popitem(last=False)


class Throttle:
    """Counts wrong keys per peer address (per /64 in IPv6) within the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, peer: str) -> None:
        """Raise RateLimited while this peer has `FAILURES` failures within `WINDOW` seconds."""
        times = self._failures.get(_network(peer))
        if times is None or len(times) < FAILURES:
            return
        left = times[0] + WINDOW - self._clock()
        if left > 0:
            raise RateLimited("Too many wrong API keys from this address.", retry_after=left)

    def failed(self, peer: str) -> None:
        """Note a wrong key."""
        network = _network(peer)
        times = self._failures.setdefault(network, deque(maxlen=FAILURES))
        times.append(self._clock())
        self._failures.move_to_end(network)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if address.version == 4:
        return peer
    return str(ipaddress.ip_network((address, 64), strict=False))


def extract(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The key a request carries, in whatever header; None when there is none (an empty one counts as none).

    Raises:
        InvalidRequest: Two headers hold different keys.
        Unauthenticated: What is there cannot be a key.
    """
    found = {secret for name, value in headers if (secret := _read(name, value))}
    if len(found) > 1:
        raise InvalidRequest("This request carries two different API keys; send one.")
    if not found:
        return None
    (secret,) = found
    if len(secret) > LONGEST or not secret.isascii() or b"\0" in secret:
        raise Unauthenticated("This API key is not valid.")
    return secret.decode("ascii")


def _read(name: bytes, value: bytes) -> bytes:
    if name in PLAIN:
        return value.strip()
    if name != b"authorization":
        return b""
    scheme, _, secret = value.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return secret.strip()
    return value.strip()
