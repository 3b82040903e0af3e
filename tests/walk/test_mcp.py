"""MCP on a real gateway, both ways: our models as a server, and the tools of a configured server in chats."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client as Mcp
from mcp import MCPError
from mcp.client.streamable_http import streamable_http_client

from gateway import Gateway, gateway, write_echo
from posting import Client
from strangers import key_of
from toolserver import ToolServer, configured, tool_server

CHAT = "/v1/mcp/chat/completions"
ASK = [{"role": "user", "content": "canary-question"}]


@pytest.fixture(scope="module")
def desk() -> Iterator[ToolServer]:
    with tool_server() as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, desk: ToolServer) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("mcp")
    write_echo(home, aliases=["parrot"])
    write_echo(home, "slow", options={"delay": 0.05})
    with gateway(home, mcp_servers=str(configured(home, desk))) as started:
        yield started


@pytest.fixture(scope="module")
def client(running: Gateway) -> Client:
    return Client(running.port, running.key)


@asynccontextmanager
async def connected(running: Gateway, key: str | None = None, mode: str = "auto") -> AsyncIterator[Mcp]:
    """The official client at the gateway."""
    headers = {"Authorization": f"Bearer {key or running.key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{running.url}/mcp", http_client=http)
        async with Mcp(transport, mode=mode) as opened:
            yield opened


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_the_official_client_uses_our_models(running: Gateway, mode: str, version: str):
    """The official library lists our tools and chats, embeds and reranks with them, by both forms of the protocol."""
    async with connected(running, mode=mode) as mcp:
        assert mcp.protocol_version == version
        tools = {tool.name: tool for tool in (await mcp.list_tools()).tools}
        assert list(tools) == [
            "list_models",
            "describe_model",
            "chat",
            "embed",
            "rerank",
            "load_model",
            "unload_model",
            "install_model",
        ]
        assert tools["chat"].annotations.read_only_hint is True
        assert tools["unload_model"].annotations.read_only_hint is False
        heard = []

        async def progress(done, total, message):
            heard.append(done)

        words = " ".join(f"w{number}" for number in range(40))
        said = await mcp.call_tool("chat", {"prompt": words, "model": "slow"}, progress_callback=progress)
        assert said.content[0].text == words
        assert said.structured_content["model"] == "slow"
        assert said.structured_content["usage"]["completion_tokens"] == 40
        assert heard == sorted(heard)
        assert heard
        turns = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ]
        said = await mcp.call_tool("chat", {"messages": turns, "model": "parrot"})
        assert (said.content[0].text, said.structured_content["model"]) == ("c", "echo")
        embedded = await mcp.call_tool("embed", {"texts": ["a", "b"], "model": "echo", "dimensions": 4})
        assert [len(vector) for vector in embedded.structured_content["vectors"]] == [4, 4]
        documents = ["cats", "dogs bark"]
        ranked = await mcp.call_tool("rerank", {"query": "dogs bark", "documents": documents})
        assert ranked.structured_content["results"][0] == {"index": 1, "score": 2.0}
        models = (await mcp.call_tool("list_models", {})).structured_content["models"]
        assert {model["name"] for model in models} == {"echo", "slow"}
        about = (await mcp.call_tool("describe_model", {"model": "parrot"})).structured_content
        assert (about["name"], about["engine"]) == ("echo", "echo")


async def test_models_are_loaded_and_unloaded(running: Gateway):
    """With the right to models, a client loads and unloads them."""
    async with connected(running, key_of(running.home, "operator", ("infer", "models"))) as mcp:
        loaded = await mcp.call_tool("load_model", {"model": "slow", "keep_alive": 60})
        assert loaded.structured_content["state"] == "ready"
        assert "slow" in [row["name"] for row in running.loaded()]
        await mcp.call_tool("unload_model", {"model": "slow"})
        assert "slow" not in [row["name"] for row in running.loaded()]
        failed = await mcp.call_tool("install_model", {"source": "file:/nothing.gguf"})
        assert failed.is_error


async def test_rights(running: Gateway, client: Client):
    """A key sees and calls only the tools it has the right to, and one without `infer` does not reach the library."""
    key = key_of(running.home, "carol")
    async with connected(running, key) as mcp:
        names = [tool.name for tool in (await mcp.list_tools()).tools]
        assert names == ["list_models", "describe_model", "chat", "embed", "rerank"]
        refused = await mcp.call_tool("unload_model", {"model": "echo"})
        assert refused.is_error
        assert refused.structured_content["error"]["code"] == "insufficient_scope"
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for wrong, status in (("sk-wrong", 401), (key_of(running.home, "dave", ("metrics",)), 403)):
        answer = Client(running.port, wrong).ask("POST", "/mcp", ping)
        assert (answer[0], "error" in answer[1]) == (status, True)


async def test_what_goes_wrong_is_told(running: Gateway):
    """A wrong argument names its field, an unknown model says what to do, and an unknown tool is a protocol error."""
    async with connected(running) as mcp:
        wrong = await mcp.call_tool("embed", {"texts": "a"})
        assert wrong.is_error
        assert wrong.structured_content["error"]["param"] == "texts"
        both = await mcp.call_tool("chat", {})
        assert "either `prompt` or `messages`" in both.content[0].text
        unknown = await mcp.call_tool("chat", {"prompt": "a", "model": "nothing"})
        assert unknown.structured_content["error"]["code"] == "model_not_found"
        with pytest.raises(MCPError, match="no such tool"):
            await mcp.call_tool("nothing", {})


def test_the_edge_comes_first(running: Gateway, client: Client):
    """Host and origin are checked as everywhere, other methods are refused, and a body is bounded."""
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    both = "application/json, text/event-stream"
    assert client.ask("POST", "/mcp", ping, Origin="https://evil.example", Accept=both)[0] == 403
    assert client.ask("POST", "/mcp", ping, Host="evil.example", Accept=both)[0] == 421
    assert client.ask("GET", "/mcp")[0] == 405
    large = {**ping, "params": {"x": "y" * 17 * 2**20}}
    assert client.ask("POST", "/mcp", large, Accept=both, raw=True)[0] == 413


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_leaves_frees_the_model(running: Gateway, mode: str):
    """When a call is given up and its connection closed, the model stops."""
    async with connected(running, mode=mode) as mcp:
        calling = asyncio.create_task(mcp.call_tool("chat", {"prompt": "word " * 2000, "model": "slow"}))
        await until(running, busy=1)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    await until(running, busy=0)


async def until(running: Gateway, busy: int) -> None:
    """Return once the slow model runs so many requests."""
    async with asyncio.timeout(30):
        while True:
            rows = await asyncio.to_thread(running.loaded)
            if sum(row["busy"] for row in rows if row["name"] == "slow") == busy:
                return


def test_configured_servers_are_listed(client: Client):
    """The names of the configured servers are shown, and nothing else of them."""
    assert client.ask("GET", "/v1/mcp/servers") == (
        200,
        {"object": "list", "data": [{"object": "mcp_server", "name": "desk"}]},
    )


def test_a_chat_calls_the_tools_of_a_server(running: Gateway, client: Client):
    """A tool of a configured server is called by our server, and the model answers from its result."""
    body = {"messages": ASK, "tool_choice": {"type": "function", "function": {"name": "clock"}}}
    status, answer = client.ask("POST", CHAT, body)
    assert status == 200, answer
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("It is noon.", "stop")
    assert "tool_calls" not in choice["message"]
    assert answer["usage"]["completion_tokens"] == 4
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if '"tool called"' in line]
    facts = {"logger": "localai.audit", "caller": "admin", "server": "desk", "tool": "clock", "outcome": "ok"}
    assert {key: lines[-1][key] for key in facts} == facts
    assert "noon" not in running.log.read_text()
    assert "canary-question" not in running.log.read_text()


def test_a_streamed_chat_calls_them_too(client: Client):
    """Streamed, the text of the answer comes as chunks, and the calls of our server are not shown as the client's."""
    body = {"messages": ASK, "tool_choice": "required", "stream": True, "stream_options": {"include_usage": True}}
    status, data = client.ask("POST", CHAT, body, raw=True)
    assert status == 200
    events = [line[6:] for line in data.decode().split("\n\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is noon."
    assert not any("tool_calls" in delta for delta in deltas)
    assert chunks[-1]["usage"]["completion_tokens"] == 4


def test_a_tool_that_fails_is_told_the_model(client: Client):
    """A failed call is no failed request: the model reads what went wrong."""
    body = {"messages": ASK, "tool_choice": {"type": "function", "function": {"name": "fails"}}}
    status, answer = client.ask("POST", CHAT, body)
    assert status == 200
    assert "fails" in answer["choices"][0]["message"]["content"]


def test_the_clients_own_tools_stay_the_clients(client: Client):
    """A call of a tool of the request is given to the client, as in any chat."""
    tool = {"type": "function", "function": {"name": "own", "parameters": {"type": "object", "properties": {}}}}
    status, answer = client.ask("POST", CHAT, {"messages": ASK, "tools": [tool], "tool_choice": "required"})
    assert status == 200
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["own"]


def test_without_a_call_it_is_a_chat(client: Client):
    """A model that calls nothing answers as in any chat; no server need be named."""
    for servers in (None, [], ["desk"]):
        status, answer = client.ask("POST", CHAT, {"messages": ASK, "mcp_servers": servers})
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "canary-question")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"mcp_servers": ["other"]}, 404, "mcp_servers"),
        ({"mcp_servers": [{"url": "https://evil.example/mcp"}]}, 400, "mcp_servers.0"),
        ({"mcp_servers": {"evil": {"command": "sh"}}}, 400, "mcp_servers"),
        ({"n": 2}, 400, "n"),
        ({"tool_choice": {"type": "function", "function": {"name": "nothing"}}}, 400, "tool_choice"),
        ({"tool_choice": "required", "mcp_servers": []}, 400, "tool_choice"),
        ({"tool_choice": "required", "allowed_tools": []}, 400, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}}, 400, "tool_choice"),
    ],
)
def test_what_a_chat_cannot_ask(client: Client, fields, status, param):
    """Only configured servers are used, never an address or a command of a request, and what is wrong is named."""
    answer = client.ask("POST", CHAT, {"messages": ASK, **fields})
    assert (answer[0], answer[1]["error"]["param"]) == (status, param), answer


def test_a_server_that_is_gone_is_told(tmp_path: Path):
    """A configured server that does not answer is a 502 that names it, streamed or not; others do not need it."""
    write_echo(tmp_path)
    with tool_server() as gone:
        file = configured(tmp_path, gone)
    with gateway(tmp_path, mcp_servers=str(file)) as running:
        client = Client(running.port, running.key)
        for stream in (False, True):
            status, answer = client.ask("POST", CHAT, {"messages": ASK, "stream": stream})
            assert (status, answer["error"]["code"]) == (502, "fetch_failed")
            assert "`desk`" in answer["error"]["message"]
        assert client.ask("POST", CHAT, {"messages": ASK, "mcp_servers": []})[0] == 200
