"""Sessions with real MCP servers of both eras of the protocol."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from localai.core.errors import FetchFailed, NotFound, NotInstalled, Overloaded
from localai.service import mcpclient as module
from localai.service.mcpclient import RESULT, McpClient, Result, written
from localai.service.remotes import read
from toolserver import ToolServer, configured, tool_server


@pytest.fixture(scope="module", params=["new", "old"])
def desk(request: pytest.FixtureRequest) -> Iterator[ToolServer]:
    with tool_server(request.param) as running:
        yield running


def client(folder: Path, server: ToolServer, **more: object) -> McpClient:
    return McpClient(read(configured(folder, server, **more)))


async def test_tools_are_listed_and_called(desk: ToolServer, tmp_path: Path):
    """A session knows the server's tools and calls them; what a tool says and that it failed are results."""
    async with client(tmp_path, desk).sessions(["desk"]) as (session,):
        assert [tool.name for tool in session.tools] == ["clock", "add", "fails", "huge", "sleepy"]
        add = session.tools[1]
        assert add.description == "The sum of two numbers."
        assert set(add.parameters["properties"]) == {"a", "b"}
        assert await session.call("add", {"a": 2, "b": 3}) == Result(text="5")
        failed = await session.call("fails", {})
        assert failed.error
        assert (await session.call("nothing", {})).error


async def test_a_long_result_is_cut_and_says_so(desk: ToolServer, tmp_path: Path):
    """Of a result that is too long the first part is given, with a mark that tells its length."""
    async with client(tmp_path, desk).sessions(["desk"]) as (session,):
        result = await session.call("huge", {})
    assert result.text.startswith("x" * RESULT)
    assert result.text.endswith("[cut here: the result has 200000 characters]")


async def test_a_slow_tool_is_given_up(desk: ToolServer, tmp_path: Path):
    """A tool that does not answer in time is an error result, and the session goes on."""
    async with client(tmp_path, desk, timeout=0.2).sessions(["desk"]) as (session,):
        assert await session.call("sleepy", {}) == Result(
            text="The tool did not answer within 0.2 seconds.", error=True
        )
        assert await session.call("clock", {}) == Result(text="It is noon.")


async def test_only_allowed_tools_are_offered(desk: ToolServer, tmp_path: Path):
    """An administrator can restrict a server to some of its tools."""
    async with client(tmp_path, desk, tools=["clock", "other"]).sessions(["desk"]) as (session,):
        assert [tool.name for tool in session.tools] == ["clock"]


async def test_a_private_server_needs_leave(desk: ToolServer, tmp_path: Path):
    """A server on this machine is not reached unless its entry says `private`."""
    with pytest.raises(FetchFailed, match="private: true"):
        async with client(tmp_path, desk, private=False).sessions(["desk"]):
            pass


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"secret_headers": {}}, "HTTP status 401"),
        ({"url": "http://127.0.0.1:9/mcp"}, "no connection"),
        ({"secret_headers": {"Authorization": "/nothing"}}, "cannot be read"),
    ],
)
async def test_a_server_that_cannot_be_used_is_told(desk: ToolServer, tmp_path: Path, more, said):
    """A wrong key, address or secret is an error that says which, and no session stays open."""
    tools = client(tmp_path, desk, **more)
    with pytest.raises(FetchFailed, match=said):
        async with tools.sessions(["desk"]):
            pass
    assert tools._open == 0


async def test_unknown_servers_and_too_many_sessions(desk: ToolServer, tmp_path: Path, monkeypatch):
    """Only configured servers are reached, and only so many sessions are open at a time."""
    tools = client(tmp_path, desk)
    with pytest.raises(NotFound):
        async with tools.sessions(["other"]):
            pass
    monkeypatch.setattr(module, "SESSIONS", 1)
    async with tools.sessions(["desk", "desk"]) as sessions:
        assert len(sessions) == 1
        with pytest.raises(Overloaded):
            async with tools.sessions(["desk"]):
                pass


async def test_a_session_that_died_is_a_result(tmp_path: Path):
    """When a server dies in the middle of a call, the call has an error as its result."""
    with tool_server() as server:
        async with client(tmp_path, server, timeout=20).sessions(["desk"]) as (session,):
            calling = asyncio.create_task(session.call("sleepy", {}))
            assert await session_started(session)
            server.stop()
            result = await calling
            assert result.error
            assert (await session.call("clock", {})).error


async def test_leaving_in_the_middle_of_a_call(desk: ToolServer, tmp_path: Path):
    """A session that is closed while a tool works does not wait for it."""
    tools = client(tmp_path, desk, timeout=600)
    async with asyncio.timeout(60):
        async with tools.sessions(["desk"]) as (session,):
            calling = asyncio.create_task(session.call("sleepy", {}))
            assert await session_started(session)
        assert (await calling).error
    assert session._task.done()


async def session_started(session) -> bool:
    """Whether the session took the call from its queue."""
    async with asyncio.timeout(20):
        while not session._calls.empty():
            await asyncio.sleep(0)
    await session_flushed()
    return True


async def session_flushed() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_without_the_library_the_error_names_the_extra(desk: ToolServer, tmp_path: Path, monkeypatch):
    """Without the optional part, sessions fail with what to install."""

    def missing(_name):
        raise ImportError

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(NotInstalled, match=r"localai-server\[mcp\]"):
        async with client(tmp_path, desk).sessions(["desk"]):
            pass


def test_results_as_text():
    """Text and text resources are given as they are, structured content as JSON, and the rest is named."""

    def result(*content, structured=None):
        return SimpleNamespace(content=list(content), structured_content=structured)

    text = SimpleNamespace(type="text", text="a")
    image = SimpleNamespace(type="image", data="...")
    resource = SimpleNamespace(type="resource", resource=SimpleNamespace(text="b"))
    binary = SimpleNamespace(type="resource", resource=SimpleNamespace(blob="..."))
    link = SimpleNamespace(type="resource_link", uri="file:x")
    shown = written(result(text, image, resource, binary, link))
    assert shown.splitlines() == [
        "a",
        "[image left out: only text is read]",
        "b",
        "[resource left out: only text is read]",
        "[link to file:x]",
    ]
    assert json.loads(written(result(structured={"n": 1}))) == {"n": 1}
