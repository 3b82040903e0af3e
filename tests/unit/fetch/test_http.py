"""The one outbound client: what it sends, follows, refuses and gives up."""

import asyncio
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from localai.core.errors import FetchFailed, FetchRefused, PayloadTooLarge, ShuttingDown
from localai.fetch.address import Route
from localai.fetch.http import REDIRECTS, Client, Deadlines
from localai.fetch.proxies import Proxies
from webserver import Answer, Ask, Out, Web

SECRETS = {"Authorization": "Bearer canary", "x-api-key": "canary"}


async def hello(ask: Ask, out: Out) -> None:
    await out.whole(b"hello", headers={"Set-Cookie": "a=canary", "ETag": '"x"'})


def client_for(*webs: Web, deadlines: Deadlines | None = None) -> Client:
    return Client(trusted=frozenset(web.origin for web in webs), deadlines=deadlines, certificates=())


async def body(client: Client, url: str, **more) -> bytes:
    async with client.get(url, **more) as reply:
        return await reply.body(2**20)


async def test_get():
    """A reply has its status, headers, size and body."""
    async with Web(hello) as web, client_for(web) as client, client.get(web.url("/a?b=%20")) as reply:
        assert (reply.status, reply.size, reply.headers["ETag"]) == (200, 5, '"x"')
        assert await reply.body(5) == b"hello"
        assert web.asked[0].path == "/a?b=%20"


async def test_asks_for_plain_bytes():
    """A request asks for unencoded bytes, and carries no cookie that an earlier answer set."""
    async with Web(hello) as web, client_for(web) as client:
        await body(client, web.url())
        await body(client, web.url())
        for ask in web.asked:
            assert ask.headers["accept-encoding"] == "identity"
            assert "cookie" not in ask.headers


async def test_body_limit():
    """A body larger than the caller takes ends the transfer."""
    async with Web(hello) as web, client_for(web) as client, client.get(web.url()) as reply:
        with pytest.raises(PayloadTooLarge):
            await reply.body(4)


async def test_untrusted_loopback():
    """Without the operator's word, a server on this machine is never asked."""
    async with Web(hello) as web, Client(certificates=()) as client:
        with pytest.raises(FetchRefused):
            await body(client, web.url())
        assert web.connections == 0


async def test_closed_client():
    """A closed client fetches nothing."""
    async with Web(hello) as web:
        client = client_for(web)
        async with client:
            pass
        with pytest.raises(ShuttingDown):
            await body(client, web.url())


async def test_no_connection():
    """A port nobody listens on is a failure to tell, not an exception of a library."""
    async with Web(hello) as web:
        client, url = client_for(web), web.url()
    with pytest.raises(FetchFailed):
        await body(client, url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects(status: int):
    """Up to five redirects are followed, relative ones too."""

    async def answer(ask: Ask, out: Out) -> None:
        if ask.number < REDIRECTS:
            await out.whole(b"", status, {"Location": f"step{ask.number}"})
        else:
            await out.whole(b"there")

    async with Web(answer) as web, client_for(web) as client:
        async with client.get(web.url("/x/y")) as reply:
            assert await reply.body(10) == b"there"
            assert str(reply.url) == web.url("/x/step4")
        assert len(web.asked) == REDIRECTS + 1


async def test_redirect_loop():
    """A sixth redirect is refused."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(b"", 302, {"Location": "/again"})

    async with Web(answer) as web, client_for(web) as client:
        with pytest.raises(FetchRefused):
            await body(client, web.url())
        assert len(web.asked) == REDIRECTS + 1


async def test_secrets_stay_with_their_origin():
    """Secrets follow a redirect within the origin, are dropped at another port, and do not come back."""
    async with Web(hello) as home, Web(hello) as other:

        async def first(ask: Ask, out: Out) -> None:
            target = [home.url("/b"), other.url("/"), home.url("/d")][ask.number] if ask.number < 2 else ""
            await (out.whole(b"", 302, {"Location": target}) if target else hello(ask, out))

        async def second(ask: Ask, out: Out) -> None:
            await out.whole(b"", 302, {"Location": home.url("/back")})

        home.answer, other.answer = first, second
        async with client_for(home, other) as client:
            assert await body(client, home.url("/a"), secrets=SECRETS, headers={"Range": "bytes=0-"}) == b"hello"
        sent = [ask.headers.get("authorization") for ask in home.asked]
        assert sent == ["Bearer canary", "Bearer canary", None]
        assert not set(SECRETS.values()) & set(other.asked[0].headers.values())
        assert "x-api-key" not in home.asked[2].headers
        assert all(ask.headers["range"] == "bytes=0-" for ask in (*home.asked, *other.asked))


async def test_compressed_answers():
    """An answer that is compressed although plain bytes were asked for is refused before its body."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(b"\x1f\x8b" + bytes(1000), headers={"Content-Encoding": "gzip"})

    async with Web(answer) as web, client_for(web) as client:
        with pytest.raises(FetchFailed, match="compressed"):
            await body(client, web.url())


async def _stuck(ask: Ask, out: Out) -> None:
    await out.hang()


async def _half(ask: Ask, out: Out) -> None:
    await out.head(200, {"Content-Length": 10})
    await out.body(b"half.")
    await out.hang()


async def _drip(ask: Ask, out: Out) -> None:
    await out.head(200, {"Content-Length": 10_000_000})
    while True:
        await out.body(b".")
        await asyncio.sleep(0.02)


async def _slow_head(ask: Ask, out: Out) -> None:
    out.writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        out.writer.write(b"a")
        await out.writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "deadlines"),
    [
        (_stuck, Deadlines(header=0.4)),
        (_slow_head, Deadlines(header=0.4)),
        (_half, Deadlines(idle=0.4)),
        (_drip, Deadlines(window=0.4)),
        (_drip, Deadlines(total=0.4)),
    ],
    ids=["no header", "dripping header", "silence", "one byte at a time", "all in all"],
)
async def test_deadlines(answer: Answer, deadlines: Deadlines):
    """A server that says nothing, stops, or sends a byte at a time is given up at the deadline that is set for it."""
    async with Web(answer) as web, client_for(web, deadlines=deadlines) as client:
        began = time.monotonic()
        with pytest.raises(FetchFailed):
            await body(client, web.url())
        assert time.monotonic() - began >= 0.39


async def test_slow_but_steady():
    """A transfer above the minimum rate goes on past any number of windows."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.head(200, {"Content-Length": 20 * 1024})
        for _ in range(20):
            await out.body(bytes(1024))
            await asyncio.sleep(0.01)

    async with Web(answer) as web, client_for(web, deadlines=Deadlines(window=0.05, rate=1024)) as client:
        assert len(await body(client, web.url())) == 20 * 1024


async def test_slow_reader():
    """Time that the reader takes for its own work is not the server's: no deadline of the network runs."""
    deadlines = Deadlines(idle=0.2, window=0.2, total=0.2)
    async with Web(hello) as web, client_for(web, deadlines=deadlines) as client, client.get(web.url()) as reply:
        await asyncio.sleep(0.3)
        assert await reply.body(10) == b"hello"


async def test_broken_connection():
    """A body that ends before its announced length is a failure."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.head(200, {"Content-Length": 10})
        await out.body(b"half.")

    async with Web(answer) as web, client_for(web) as client:
        with pytest.raises(FetchFailed):
            await body(client, web.url())


async def test_garbage():
    """Bytes that are no HTTP, and headers without end, are a failure."""

    async def garbage(ask: Ask, out: Out) -> None:
        out.writer.write(b"\x00\xff hello\r\n\r\n")

    async def endless(ask: Ask, out: Out) -> None:
        out.writer.write(b"HTTP/1.1 200 OK\r\n")
        while not out.writer.is_closing():
            out.writer.write(b"X: " + b"a" * 4000 + b"\r\n")
            await out.writer.drain()

    for answer in (garbage, endless):
        async with Web(answer) as web, client_for(web, deadlines=Deadlines(header=5)) as client:
            with pytest.raises(FetchFailed):
                await body(client, web.url())


async def test_proxy():
    """A configured proxy gets the request, with the proxy's login and without the secrets' origin changing."""
    async with Web(hello) as proxy, Client(certificates=()) as client:
        route = Route(proxies=Proxies(http=f"http://user:p%40ss@127.0.0.1:{proxy.port}"))
        assert await body(client, "http://index.example/simple/", route=route) == b"hello"
        assert proxy.asked[0].path == "http://index.example/simple/"
        assert proxy.asked[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
        with pytest.raises(FetchRefused):
            await body(client, "http://169.254.169.254/", route=route)
        assert len(proxy.asked) == 1


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_certificates(certificate: Path):
    """A certificate of an unknown authority is refused, unless its authority or its host is configured."""
    async with Web(hello, tls=tls(certificate)) as web:
        trusted = frozenset((web.origin,))
        with pytest.raises(FetchFailed, match="certificate"):
            await body(Client(trusted=trusted, certificates=()), web.url())
        assert not web.asked
        assert await body(Client(trusted=trusted, certificates=(str(certificate),)), web.url()) == b"hello"
        lenient = Route(unverified=frozenset((f"127.0.0.1:{web.port}",)))
        assert await body(Client(trusted=trusted, certificates=()), web.url(), route=lenient) == b"hello"
        elsewhere = Route(unverified=frozenset(("127.0.0.2", f"127.0.0.1:{web.port + 1}")))
        with pytest.raises(FetchFailed, match="certificate"):
            await body(Client(trusted=trusted, certificates=()), web.url(), route=elsewhere)


async def test_missing_certificate_file(tmp_path: Path):
    """A configured file of authorities that cannot be read is told, not passed over."""
    async with Web(hello) as web:
        client = Client(trusted=frozenset((web.origin,)), certificates=(str(tmp_path / "none.pem"),))
        with pytest.raises(FetchFailed, match="cert"):
            await body(client, web.url())


async def test_no_downgrade(certificate: Path):
    """A redirect from https to http is refused, unless the operator configured where it leads."""
    async with Web(hello) as plain:

        async def answer(ask: Ask, out: Out) -> None:
            await out.whole(b"", 302, {"Location": plain.url()})

        async with Web(answer, tls=tls(certificate)) as web:
            only = Client(trusted=frozenset((web.origin,)), certificates=(str(certificate),))
            with pytest.raises(FetchRefused, match="https to http"):
                await body(only, web.url())
            both = Client(trusted=frozenset((web.origin, plain.origin)), certificates=(str(certificate),))
            assert await body(both, web.url()) == b"hello"


async def test_slow_resolver():
    """A name that is not resolved in time is a failure."""

    async def find(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    client = Client(find=find, deadlines=Deadlines(connect=0.1), certificates=())
    with pytest.raises(FetchFailed):
        await body(client, "https://slow.example/")
