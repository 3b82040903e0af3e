"""Our MCP server as a thing that starts with the first request, and the tools behind it."""

import asyncio
import importlib

import pytest

from echoing import FakePerform, echo
from localai.api.mcp import server as module
from localai.api.mcp.server import McpServer, apart
from localai.api.mcp.tools import InstallBody, Tools
from localai.core.caller import LOCAL, Caller
from localai.core.errors import NotEnoughDisk, NotInstalled, ShuttingDown
from localai.service.install import InstallProgress


async def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    """Without the optional part every request is told what to install, and once it is there the server starts."""
    known = importlib.import_module
    server = McpServer(Tools(FakePerform(echo()), None), "1")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    for _ in range(2):
        with pytest.raises(NotInstalled, match=r"localai-server\[mcp\]") as caught:
            await server.ready()
        assert caught.value.status == 501
    monkeypatch.setattr(module.importlib, "import_module", known)
    await server.ready()
    await server.stop()


async def test_it_starts_once_and_not_after_its_end():
    """However many come at once, it starts once, anew should it break, and after its end no more."""
    server = McpServer(Tools(FakePerform(echo()), None), "1")
    await asyncio.gather(*(server.ready() for _ in range(5)))
    manager = server._manager
    await server.ready()
    assert server._manager is manager
    server._running.cancel()
    await asyncio.gather(server._running, return_exceptions=True)
    await server.ready()
    assert server._manager is not manager
    await server.stop()
    with pytest.raises(ShuttingDown):
        await server.ready()


async def test_work_apart_is_cancelled_once():
    """Work in a task of its own is cancelled when its waiter is, and cleans up undisturbed."""
    steps = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            steps.append("cleaned up")

    waiting = asyncio.create_task(apart(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(10):
        while not steps:
            await asyncio.sleep(0)


class Installing:
    """Installs as told."""

    def __init__(self, *steps):
        self.steps = steps

    async def pull(self, caller, source, name, sha256):
        for step in self.steps:
            yield step


async def install(*steps):
    tools, told = Tools(FakePerform(echo()), Installing(*steps)), []

    async def report(done, total):
        told.append((done, total))

    found = await tools.get("install_model").does(LOCAL, InstallBody(source="starter"), report)
    return found, told


async def test_an_installation_tells_its_progress():
    """Installing reports bytes as they come and ends with the name of the model."""
    found, told = await install(
        InstallProgress(phase="downloading", done=5, total=10), InstallProgress(phase="installed", name="tiny")
    )
    assert found == {"installed": "tiny"}
    assert told[0] == (5, 10)


async def test_an_installation_that_fails_is_its_error():
    """What an installation ends with is raised as the error that it is."""
    with pytest.raises(NotEnoughDisk, match="full"):
        await install(InstallProgress(phase="failed", error="The disk is full.", code="not_enough_disk"))


def test_offers_follow_the_scopes():
    """A caller is offered what its scopes allow; an administrator everything."""
    tools = Tools(FakePerform(echo()), None)
    infer = Caller(id="a", owner="a", scopes=frozenset(("infer",)))
    assert {offer.scope for offer in tools.offers(infer)} == {"infer"}
    assert {offer.scope for offer in tools.offers(LOCAL)} == {"infer", "models"}
