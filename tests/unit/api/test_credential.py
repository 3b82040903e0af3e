"""Reading credentials and being patient with guesses."""

import asyncio

import pytest
from starlette.requests import Request

from localai.api.credential import ADDRESSES, ANYONE, FAILURES, GOOD, WINDOW, Guard, Throttle, extract
from localai.core.caller import Caller
from localai.core.errors import Forbidden, InvalidRequest, RateLimited, Unauthenticated

FRIEND = Caller(id="f", owner="f", scopes=frozenset({"infer"}))


class Keys:
    """Knows keys that begin with "good"; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def identify(self, secret: str | None) -> Caller:
        self.asked += 1
        if secret and secret.startswith("good"):
            return FRIEND
        raise Unauthenticated


def _request(key: str | None, peer: str = "192.0.2.1") -> Request:
    headers = [] if key is None else [(b"x-api-key", key.encode())]
    return Request({"type": "http", "headers": headers, "client": (peer, 1), "method": "GET", "path": "/"})


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer sk")],
        [(b"authorization", b"bearer  sk ")],
        [(b"authorization", b"sk")],
        [(b"x-api-key", b"sk")],
        [(b"api-key", b"sk")],
        [(b"xi-api-key", b"sk")],
        [(b"authorization", b""), (b"x-api-key", b"sk")],
        [(b"authorization", b"Bearer sk"), (b"x-api-key", b"sk")],
    ],
)
def test_spellings(headers):
    """Every client's way to give a key is read."""
    assert extract(headers) == "sk"


@pytest.mark.parametrize(
    "headers", [[], [(b"authorization", b"Bearer ")], [(b"authorization", b"")], [(b"cookie", b"sk")]]
)
def test_none(headers):
    """An empty credential counts as none."""
    assert extract(headers) is None


def test_disagreement():
    """Two different keys are an error, in two headers or in one sent twice."""
    for second in (b"x-api-key", b"authorization"):
        with pytest.raises(InvalidRequest):
            extract([(b"authorization", b"Bearer a"), (second, b"b")])


@pytest.mark.parametrize("secret", [b"\xff", b"x" * 5000, b"a\0b"])
def test_impossible(secret):
    """What cannot be a key is refused before anyone looks it up."""
    with pytest.raises(Unauthenticated):
        extract([(b"x-api-key", secret)])


async def test_scopes():
    """A caller passes with the scope, not without it; a public route looks at no credential."""
    keys = Keys()
    guard = Guard(keys)
    assert await guard.admit(_request("good"), "infer") is FRIEND
    with pytest.raises(Forbidden):
        await guard.admit(_request("good"), "models")
    assert await guard.admit(_request("bad"), "public") is ANYONE
    assert keys.asked == 2


async def test_back_off():
    """After ten wrong keys in a minute an address must wait until the first of them is a minute old."""
    now = 0.0
    keys = Keys()
    guard = Guard(keys, clock=lambda: now)
    for _ in range(FAILURES):
        with pytest.raises(Unauthenticated):
            await guard.admit(_request("bad"), "infer")
        now += 1
    with pytest.raises(RateLimited) as error:
        await guard.admit(_request("good"), "infer")
    assert error.value.retry_after == WINDOW - FAILURES
    assert keys.asked == FAILURES
    assert await guard.admit(_request("good", "192.0.2.2"), "infer") is FRIEND
    now = WINDOW
    assert await guard.admit(_request("good"), "infer") is FRIEND


async def test_known_keys_pass():
    """A key that proved right is not locked out by a neighbour who guesses, until it stops being right."""
    guard = Guard(Keys())
    await guard.admit(_request("good"), "infer")
    for _ in range(FAILURES):
        with pytest.raises(Unauthenticated):
            await guard.admit(_request("bad"), "infer")
    assert await guard.admit(_request("good"), "infer") is FRIEND


async def test_no_key_is_no_guess():
    """A request without a key is refused but not counted."""
    guard = Guard(Keys())
    for _ in range(FAILURES + 5):
        with pytest.raises(Unauthenticated):
            await guard.admit(_request(None), "infer")


async def test_tables_are_bounded():
    """However many addresses and keys there are, what is remembered of them is bounded."""
    throttle = Throttle()
    for number in range(ADDRESSES + 10):
        throttle.failed(f"192.0.{number // 256}.{number % 256}")
    assert len(throttle._failures) == ADDRESSES
    guard = Guard(Keys())
    await asyncio.gather(*(guard.admit(_request(f"good{number}"), "infer") for number in range(GOOD + 10)))
    assert len(guard._good) == GOOD


def test_ipv6_networks():
    """In IPv6 a whole /64 counts as one address."""
    throttle = Throttle()
    for number in range(FAILURES):
        throttle.failed(f"2001:db8::{number:x}")
    with pytest.raises(RateLimited):
        throttle.check("2001:db8::ffff")
    throttle.check("2001:db8:0:1::1")
