"""Starting, being told to leave, and leaving."""

import asyncio
import os
import signal
import threading

import pytest

from localai.api.server import address
from wire_rows import Routes
from wire_server import head, request, serving


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("box.lan", "http://box.lan:80"),
        ("", "http://127.0.0.1:80"),
    ],
)
def test_address(host, url):
    """The URL of a server is one that works on this machine."""
    assert address(host, 80) == url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal(number):
    """F24: a signal makes the server leave and the handlers are gone afterwards."""
    drained = asyncio.Event()

    async def drain() -> None:
        drained.set()

    before = signal.getsignal(number)
    async with serving(Routes().rows()) as gateway:
        running = asyncio.create_task(gateway.server.run(drain))
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(running, 5)
        assert gateway.readiness.draining
    assert drained.is_set()
    assert signal.getsignal(number) in {before, signal.SIG_DFL, signal.default_int_handler}


async def test_second_signal():
    """F24: a second signal ends a drain that would take for ever, and what still streams."""
    routes = Routes()
    async with serving(routes.rows()) as gateway:
        reader, writer = await gateway.connect()
        writer.write(request("GET", "/v1/stream"))
        await head(reader)
        running = asyncio.create_task(gateway.server.run(asyncio.Event().wait))
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        while not gateway.readiness.draining:
            await asyncio.sleep(0)
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 5)
        assert routes.left.is_set()
        writer.close()


def test_other_thread():
    """A server runs in a thread and a loop of its own, without touching signals."""
    answers: list[int] = []

    async def main() -> None:
        async with serving(Routes().rows()) as gateway:
            running = asyncio.create_task(gateway.server.run(asyncio.Event().wait, signals=False))
            answers.append((await gateway.ask("GET", "/v1/hello")).status)
            gateway.server.leave()
            gateway.server.leave()
            await running

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join(10)
    assert answers == [200]


async def test_nothing_is_left():
    """After a stop no task and no connection of the server is left."""
    before = asyncio.all_tasks()
    async with serving(Routes().rows()) as gateway:
        for _ in range(10):
            await gateway.ask("GET", "/v1/hello")
        held, writer = await gateway.connect()
    assert await asyncio.wait_for(held.read(), 5) == b""
    writer.close()
    assert asyncio.all_tasks() == before
    assert gateway.count("localai_connections") == 0
