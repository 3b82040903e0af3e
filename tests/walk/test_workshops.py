"""Tools that the server calls itself in responses: a real gateway, a real MCP server, real files, an obedient model."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from gateway import Gateway, gateway, write_echo
from obedient import OBEDIENT
from posting import Client
from sse import Stream
from strangers import key_of
from toolserver import ToolServer, configured, tool_server

PATH = "/v1/responses"
DESK = {"type": "mcp", "server_label": "desk", "require_approval": "never"}
OWN = {"type": "function", "name": "own", "parameters": {"type": "object"}}
ORDERS = 'clock\nadd {"a": 1, "b": 2}'


@pytest.fixture(scope="module")
def tools() -> Iterator[ToolServer]:
    with tool_server() as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tools: ToolServer) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("workshop")
    write_echo(home, "obedient")
    with gateway(home, OBEDIENT, mcp_servers=str(configured(home, tools))) as started:
        yield started


@pytest.fixture(scope="module")
def ann(shop: Gateway) -> Client:
    return Client(shop.port, shop.key)


@pytest.fixture(scope="module")
def store(ann: Client) -> str:
    """A store with one file about dogs."""
    file = ann.store(b"Dogs bark. Cats purr.", "assistants", "pets.txt")
    _, made = ann.ask("POST", "/v1/vector_stores", {"name": "pets", "file_ids": [file]})
    deadline = time.monotonic() + 60
    while ann.ask("GET", f"/v1/vector_stores/{made['id']}")[1]["status"] == "in_progress":
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    return made["id"]


def asked(client: Client, text: str, **fields: object) -> dict:
    status, answer = client.ask("POST", PATH, {"input": text, **fields})
    assert status == 200, answer
    return answer


def bare(items):
    return [{key: value for key, value in item.items() if key != "id"} for item in items]


def test_tools_of_a_server_are_called(shop: Gateway, ann: Client):
    """The calls are made in order and the model answers from them; whole, streamed and later the items are the same."""
    answer = asked(ann, ORDERS, tools=[DESK])
    listed, first, second, last = answer["output"]
    assert [tool["name"] for tool in listed["tools"]] == ["clock", "add", "fails", "huge", "sleepy"]
    assert listed["tools"][1]["input_schema"]["required"] == ["a", "b"]
    assert (first["output"], second["output"]) == ("It is noon.", "3")
    assert last["content"][0]["text"] == "Got: 3"
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (1 + 3 + 5, 3)
    body = {"input": ORDERS, "tools": [DESK], "stream": True}
    told = list(Stream(shop.port, shop.key, PATH, body).open().events())
    assert bare(told[-1]["response"]["output"]) == bare(answer["output"])
    waiting = asked(ann, ORDERS, tools=[DESK], background=True)
    followed = ann.ask("GET", f"{PATH}/{waiting['id']}?stream=true", raw=True)[1].decode()
    events = [json.loads(line[6:]) for line in followed.splitlines() if line.startswith("data: ")]
    assert bare(events[-1]["response"]["output"]) == bare(answer["output"])
    lines = [json.loads(line) for line in shop.log.read_text().splitlines() if '"tool called"' in line]
    assert {"server": "desk", "tool": "add", "outcome": "ok"}.items() <= lines[-1].items()
    assert "noon" not in shop.log.read_text()


def test_a_search_finds_what_is_in_the_store(ann: Client, store: str):
    """The passages are shown when asked for, and the model has read them; with a tool of a server and an own one."""
    search = {"type": "file_search", "vector_store_ids": [store]}
    orders = 'file_search {"queries": ["dogs bark"]}\nclock\nown {"a": 1}'
    answer = asked(ann, orders, tools=[search, DESK, OWN], include=["file_search_call.results"])
    _, found, clock, own = answer["output"]
    (hit,) = found["results"]
    assert (hit["filename"], hit["text"]) == ("pets.txt", "Dogs bark. Cats purr.")
    assert (clock["type"], own["type"], own["name"]) == ("mcp_call", "function_call", "own")
    alone = asked(ann, 'file_search {"queries": ["dogs bark"]}', tools=[search])
    assert alone["output"][0]["results"] is None
    assert "Dogs bark." in alone["output"][1]["content"][0]["text"]


def test_a_store_of_another_owner_is_not_found(shop: Gateway, store: str):
    """Somebody else's store is not there, however the response is asked for."""
    bob = Client(shop.port, key_of(shop.home, "bob"))
    search = {"type": "file_search", "vector_store_ids": [store]}
    for more in ({}, {"stream": True}, {"background": True}):
        status, refused = bob.ask("POST", PATH, {"input": "x", "tools": [search], **more})
        assert (status, refused["error"]["param"]) == (404, "tools.0.vector_store_ids.0")


def test_an_address_of_a_request_is_never_asked(ann: Client, tools: ToolServer):
    """Only the label counts: one that is not configured is refused, whatever address comes with it."""
    tool = {"type": "mcp", "server_label": "mine", "server_url": tools.url, "require_approval": "never"}
    status, refused = ann.ask("POST", PATH, {"input": "clock", "tools": [tool]})
    assert (status, refused["error"]["param"]) == (400, "tools.0.server_label")
    assert "`desk`" in refused["error"]["message"]


def test_an_agreed_call(shop: Gateway, ann: Client):
    """A call that needs an agreement is made after it, with the arguments that were asked for."""
    tool = {"type": "mcp", "server_label": "desk"}
    first = asked(ann, 'add {"a": 2, "b": 3}', tools=[tool])
    request = first["output"][-1]
    assert (request["type"], request["name"]) == ("mcp_approval_request", "add")
    decision = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
    second = ann.ask("POST", PATH, {"input": [decision], "tools": [tool], "previous_response_id": first["id"]})[1]
    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert (second["output"][0]["output"], second["output"][1]["content"][0]["text"]) == ("5", "Got: 5")


def test_a_connection_remembers_what_was_found(shop: Gateway, store: str):
    """On a WebSocket a response that is not stored can be continued with what its searches found."""
    search = {"type": "file_search", "vector_store_ids": [store]}
    with connect(
        f"ws://127.0.0.1:{shop.port}{PATH}", additional_headers={"Authorization": f"Bearer {shop.key}"}
    ) as socket:

        def said(**fields: object) -> dict:
            socket.send(json.dumps({"type": "response.create", "store": False, **fields}))
            while (event := json.loads(socket.recv(timeout=60)))["type"] != "response.completed":
                assert event["type"] not in {"error", "response.failed"}, event
            return event["response"]

        first = said(input='file_search {"queries": ["dogs bark"]}', tools=[search])
        assert "Dogs bark." not in json.dumps(first["output"][0])
        more = [{"role": "developer", "content": "Go on."}]
        second = said(input=more, tools=[search], previous_response_id=first["id"])
        (message,) = second["output"]  # a model that did not see its search would make it again
        assert message["content"][0]["text"] == "Got: Go on."


def test_a_server_that_is_gone(tmp_path: Path):
    """A configured server that does not answer is a 502 that names it; in the background the response has failed."""
    write_echo(tmp_path)
    with tool_server() as gone:
        file = configured(tmp_path, gone)
    with gateway(tmp_path, mcp_servers=str(file)) as running:
        client = Client(running.port, running.key)
        for stream in (False, True):
            status, answer = client.ask("POST", PATH, {"input": "x", "tools": [DESK], "stream": stream})
            assert (status, answer["error"]["code"]) == (502, "fetch_failed")
            assert "`desk`" in answer["error"]["message"]
        waiting = asked(client, "x", tools=[DESK], background=True)
        while (now := client.ask("GET", f"{PATH}/{waiting['id']}")[1])["status"] in {"queued", "in_progress"}:
            threading.Event().wait(0.02)
        assert (now["status"], now["error"]["code"]) == ("failed", "server_error")
        assert "`desk`" in now["error"]["message"]
