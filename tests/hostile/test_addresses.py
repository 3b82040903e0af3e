"""H29 and H30: addresses that try to reach what they must not."""

import contextlib
import itertools

import pytest

from localai.core.errors import FetchFailed, FetchRefused, LocalAIError
from localai.fetch.address import Origin, parse, public
from localai.fetch.http import REDIRECTS, Client
from localai.fetch.sources import resolve
from webserver import Ask, Out, Web

LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "0.0.0.0.",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001:0:0:0:0:1]",
    "[2001:0:7f00:1::]",
    "[2001::7f00:1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "ⓛocalhost",
    "loc\u200balhost",
    "127.0.0.1%00.example.org",
    "%31%32%37.0.0.1",
    "127.0.0.1\\.example.org",
]
"""Hosts that mean this machine to somebody."""
CLOSED = [
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "0.1.2.3",
]
"""Addresses of other closed networks."""
ODD = [
    "http://good@{}/",
    "http://good:pass@{}/",
    "http://good.example\\@{}/",
    "http://good.example%40{}/",
    "http:///{}/",
    "http:{}/",
    "http:/{}/",
    "http:\\\\{}/",
    "ht\ttp://{}/",
    "http://{}\t/",
    "http://{}\n/",
    " http://{}/",
    "http://{}/ x",
    "http://{}/\x00",
    "http://{}/\u2028",
    "//{}/",
    "gopher://{}/",
    "ftp://{}/",
    "ws://{}/",
    "unix://{}/",
    "file://{}/etc/passwd",
    "javascript://{}/%0aalert(1)",
    "data:text/plain;base64,{}",
    "http+unix://{}/",
    "HTTP://good.example:{}/",
]
"""Forms around a host."""


async def _nothing(ask: Ask, out: Out) -> None:
    await out.whole(b"secret")


@contextlib.asynccontextmanager
async def _listener():
    """A server on every loopback address that must never be reached."""
    async with Web(_nothing) as web:
        yield web


@pytest.mark.parametrize("host", LOOPBACK)
async def test_spellings_of_loopback(host: str):
    """No spelling of this machine's address is fetched, and not one packet reaches it."""
    async with _listener() as web, Client() as client:
        for url in (f"http://{host}:{web.port}/", f"https://{host}:{web.port}/"):
            with pytest.raises(FetchRefused):
                async with client.get(url):
                    pytest.fail(f"{url} was fetched")
        assert web.connections == 0


@pytest.mark.parametrize("host", CLOSED)
async def test_closed_networks(host: str):
    """No address of a private, local, documentation or multicast network is fetched, nor its IPv6 disguises."""
    packed = "".join(f"{int(part):02x}" for part in host.split("."))
    mapped = f"{packed[:4]}:{packed[4:]}"
    forms = [host, f"[::ffff:{mapped}]", f"[64:ff9b::{mapped}]", f"[2002:{mapped}::1]", f"[::{mapped}]"]
    async with Client() as client:
        for form in forms:
            with pytest.raises(FetchRefused):
                async with client.get(f"http://{form}/"):
                    pytest.fail(f"{form} was fetched")


@pytest.mark.parametrize("form", ODD)
async def test_odd_forms(form: str):
    """No odd form of a URL gets through, whatever part of it a parser takes for the host."""
    async with _listener() as web, Client() as client:
        url = form.format(f"127.0.0.1:{web.port}")
        with pytest.raises(FetchRefused):
            async with client.get(url):
                pytest.fail(f"{url} was fetched")
        assert web.connections == 0


@pytest.mark.parametrize("host", LOOPBACK + CLOSED)
async def test_references(host: str):
    """A model's source is held to the same rules: it is refused while it is read, or when it is asked."""
    async with Client() as client:

        async def fetch() -> None:
            source = await resolve(f"https://{host}/model.gguf", client)
            async with client.get(source.files[0].url):
                pytest.fail(f"{host} was fetched")

        with pytest.raises(LocalAIError) as caught:
            await fetch()
        assert caught.value.status == 400


async def test_mixed_and_rebinding_names():
    """A name is resolved once and every address checked: neither a second answer nor a second address gets through."""
    answers = itertools.chain([["1.1.1.1", "127.0.0.1"]], itertools.repeat(["127.0.0.1"]))
    asked: list[str] = []

    async def find(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    async with _listener() as web, Client(find=find) as client:
        for _ in range(3):
            with pytest.raises(FetchRefused):
                async with client.get(f"http://rebind.example:{web.port}/"):
                    pytest.fail("it was fetched")
        assert web.connections == 0
        assert asked == ["rebind.example"] * 3


async def test_connects_to_what_was_checked():
    """The connection goes to the checked address, even if the name would now lead elsewhere."""
    async with Web(_nothing) as web:
        trusted = frozenset((Origin("http", "named.example", web.port),))

        async def find(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        async with (
            Client(trusted=trusted, find=find) as client,
            client.get(f"http://named.example:{web.port}/") as reply,
        ):
            assert await reply.body(100) == b"secret"
        assert web.asked[0].headers["host"] == f"named.example:{web.port}"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://[::1]:{port}/",
        "http://localhost:{port}/",
        "http://x@127.0.0.1:{port}/",
        "\\\\127.0.0.1:{port}/",
        "file:///etc/passwd",
        "unix:/run/x.sock",
        "gopher://127.0.0.1:{port}/",
        "data:text/plain,x",
        "http://169.254.169.254/latest/meta-data/",
        "",
    ],
)
@pytest.mark.parametrize("hops", [1, 3])
async def test_redirects_to_closed_addresses(target: str, hops: int):
    """A redirect is checked like the first address, on every hop."""
    async with _listener() as inner:

        async def redirect(ask: Ask, out: Out) -> None:
            last = ask.number + 1 >= hops
            await out.whole(b"", 302, {"Location": target.format(port=inner.port) if last else f"/{ask.number + 1}"})

        async with Web(redirect) as web, Client(trusted=frozenset((web.origin,))) as client:
            with pytest.raises((FetchRefused, FetchFailed)):
                async with client.get(web.url()):
                    pytest.fail("it was fetched")
            assert inner.connections == 0
            assert web.connections - 1 <= REDIRECTS


def test_matrix_is_large():
    """At least sixty spellings are tried, and none of their plain forms counts as public."""
    assert len(LOOPBACK) + len(CLOSED) + len(ODD) >= 60
    for host in CLOSED:
        assert not public(host)
    with pytest.raises(FetchRefused):
        parse("https://127.1/")
