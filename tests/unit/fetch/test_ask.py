"""Requests of any method through the one outbound client."""

import pytest
from aiohttp import web

from localai.core.errors import FetchRefused
from localai.fetch.address import Route, origin, parse
from localai.fetch.http import Client


@pytest.fixture
async def echoed():
    """A server that says back what it got."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.text()
        if request.path == "/moved":
            return web.Response(status=307, headers={"Location": "/other"})
        return web.json_response({"method": request.method, "body": body, "key": request.headers.get("X-Key")})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    await runner.cleanup()


def trusted(url: str) -> Route:
    return Route(trusted=frozenset((origin(parse(url)),)))


async def test_a_request_carries_its_method_and_its_body(echoed: str):
    """What is sent arrives: method, headers and body."""
    async with Client(certificates=()) as client:
        asking = client.ask("POST", f"{echoed}/x", headers={"X-Key": "k"}, body=b"hello", route=trusted(echoed))
        async with asking as reply:
            assert await reply.body(1000) == b'{"method": "POST", "body": "hello", "key": "k"}'
        async with client.ask("DELETE", f"{echoed}/x", route=trusted(echoed)) as reply:
            assert b'"DELETE"' in await reply.body(1000)


async def test_a_redirect_is_an_answer(echoed: str):
    """A redirect is not followed: nothing is sent to where nobody asked it to go."""
    asking = Client(certificates=()).ask("POST", f"{echoed}/moved", body=b"secret", route=trusted(echoed))
    async with asking as reply:
        assert reply.status == 307


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://localhost/", "http://169.254.169.254/", "file:///x"])
async def test_addresses_are_checked_as_in_a_fetch(url: str):
    """What may not be fetched may not be asked either."""
    async with Client(certificates=()) as client:
        with pytest.raises(FetchRefused):
            async with client.ask("POST", url, body=b"x"):
                pass
