"""Tools that the server calls itself, in responses, with doubles of an MCP server and of vector stores."""

import json
import threading

import pytest

from localai.core.event import Text, Thought
from responding import PATH, ask, events, get
from workshops import MCP, NOON, OWN, SEARCH, calls, kinds, opened, plain, says, seen

QUERIES = '{"queries": ["dogs"]}'
FOUND = "[1] a.md\nDogs bark."


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture
def server(running):
    return running.server


@pytest.fixture
def perform(running):
    return running.perform


@pytest.fixture
def model(running):
    return running.model


@pytest.fixture
def shop(running):
    return running.shop


def test_a_call_of_an_mcp_tool(server, model, perform):
    """The tools are listed, the call is made and told with its result, and the answer and the usage come last."""
    rounds = calls("clock", '{"zone": "x"}', before=[Thought(text="hm"), Text(text="Let me see.")]), says("Noon.")
    model.play(*rounds)
    answer = ask(server, model="plays", tools=[MCP])
    listed, thought, first, call, last = plain(answer["output"])
    assert (listed["type"], listed["server_label"]) == ("mcp_list_tools", "desk")
    assert [tool["name"] for tool in listed["tools"]] == ["clock", "fails", "hangs"]
    assert (thought["type"], first["content"][0]["text"]) == ("reasoning", "Let me see.")
    assert call == {
        "type": "mcp_call",
        "server_label": "desk",
        "name": "clock",
        "arguments": '{"zone": "x"}',
        "approval_request_id": None,
        "status": "completed",
        "output": NOON,
        "error": None,
    }
    assert last["content"][0]["text"] == "Noon."
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (15, 5)
    assert seen(perform)[1:] == [("assistant", "Let me see.", ["clock"]), ("tool", NOON, [])]
    model.play(*rounds)
    told = events(server, model="plays", tools=[MCP])
    assert plain(told[-1]["response"]["output"]) == plain(answer["output"])
    assert [event["item"] for event in told if event["type"] == "response.output_item.done"] == told[-1]["response"][
        "output"
    ]
    assert kinds(told)[:6] == [
        "created",
        "in_progress",
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
    ]
    at = kinds(told).index("mcp_call.in_progress")
    assert kinds(told)[at - 1 : at + 5] == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


def test_a_response_in_the_background_has_the_same_items(server, model):
    """In the background the same happens, and is kept."""
    model.play(calls("clock"), says("Noon."))
    answer = ask(server, model="plays", tools=[MCP], background=True)
    while (now := get(server, f"{PATH}/{answer['id']}")[1])["status"] in {"queued", "in_progress"}:
        threading.Event().wait(0.01)
    assert [item["type"] for item in now["output"]] == ["mcp_list_tools", "mcp_call", "message"]


def test_what_follows_knows_the_calls(server, model, perform):
    """Who continues a response continues its calls and results, and is not told the same list of tools again."""
    model.play(calls("clock", before=[Text(text="Wait.")]), says("Noon."), says("Bye."))
    first = ask(server, model="plays", tools=[MCP])
    second = ask(server, "thanks", "plays", tools=[MCP], previous_response_id=first["id"])
    assert [item["type"] for item in second["output"]] == ["message"]
    turns = [("user", "to be", []), ("assistant", "Wait.", ["clock"]), ("tool", NOON, []), ("assistant", "Noon.", [])]
    assert seen(perform) == [*turns, ("user", "thanks", [])]
    given = [{"role": "user", "content": "to be"}, *first["output"], {"role": "user", "content": "thanks"}]
    ask(server, given, "plays", tools=[MCP])
    assert seen(perform) == [*turns, ("user", "thanks", [])]


def test_a_call_that_fails(server, model, perform):
    """A failed call is an item that says so, and the model reads why, now and later."""
    model.play(calls("fails"), says("Pity."), says("Bye."))
    told = events(server, model="plays", tools=[MCP])
    assert "mcp_call.failed" in kinds(told)
    assert "mcp_call.completed" not in kinds(told)
    item = told[-1]["response"]["output"][1]
    error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "No luck."}]}
    assert (item["status"], item["output"], item["error"]) == ("failed", None, error)
    assert seen(perform)[-1] == ("tool", "No luck.", [])
    ask(server, "so", "plays", previous_response_id=told[-1]["response"]["id"])
    assert seen(perform)[2] == ("tool", "No luck.", [])


def test_a_call_that_is_broken_off(server, model, perform):
    """Cancelling ends a call that hangs; its item is incomplete, and what continues it does not know the call."""
    model.play(calls("hangs"))
    answer = ask(server, model="plays", tools=[MCP], background=True)
    path = f"{PATH}/{answer['id']}"
    while not any(item["type"] == "mcp_call" for item in get(server, path)[1]["output"]):
        threading.Event().wait(0.01)
    status, cancelled = server.post(f"{path}/cancel")
    assert (status, cancelled["status"]) == (200, "cancelled")
    assert (cancelled["output"][-1]["status"], cancelled["output"][-1]["output"]) == ("incomplete", None)
    ask(server, "go on", "plays", previous_response_id=answer["id"])
    assert seen(perform) == [("user", "to be", []), ("user", "go on", [])]


def test_a_search(server, model, perform, shop):
    """A search is an item with its questions; what it found is in it only when asked for, and known to what follows."""
    model.play(calls("file_search", QUERIES), says("They bark."), says("Bye."))
    ranking = {"score_threshold": 0.2, "ranker": "none"}
    filters = {"type": "eq", "key": "team", "value": "a"}
    tool = {**SEARCH, "max_num_results": 3, "filters": filters, "ranking_options": ranking}
    answer = ask(server, model="plays", tools=[tool])
    item = {"type": "file_search_call", "queries": ["dogs"], "status": "completed", "results": None}
    assert plain(answer["output"])[0] == item
    stores, queries, how = shop.vectors.asked[-1]
    assert (stores, queries, how["limit"], how["threshold"]) == (("vs_1",), ("dogs",), 3, 0.2)
    assert how["weights"].plain
    assert how["condition"].values == ("a",)
    assert get(server, f"{PATH}/{answer['id']}")[1] == answer
    assert "Dogs bark." not in json.dumps(answer)
    ask(server, "so", "plays", previous_response_id=answer["id"])
    assert seen(perform)[1:3] == [("assistant", "", ["file_search"]), ("tool", FOUND, [])]
    model.play(calls("file_search", QUERIES), says("They bark."), says("Bye."))
    told = events(server, model="plays", tools=[SEARCH], include=["file_search_call.results"])
    at = kinds(told).index("file_search_call.in_progress")
    assert kinds(told)[at : at + 4] == [
        "file_search_call.in_progress",
        "file_search_call.searching",
        "file_search_call.completed",
        "output_item.done",
    ]
    found = told[-1]["response"]["output"]
    hit = {"file_id": "file-1", "filename": "a.md", "score": 0.5, "text": "Dogs bark.", "attributes": {"team": "a"}}
    assert found[0]["results"] == [{**hit, "vector_store_id": "vs_1"}]
    ask(server, [{"role": "user", "content": "x"}, *found], "plays")
    assert seen(perform)[1:3] == [("assistant", "", ["file_search"]), ("tool", FOUND, [])]


def test_a_search_in_a_conversation(server, model, perform):
    """A conversation remembers what was found, and does not show it."""
    _, talk = server.post("/v1/conversations")
    path = f"/v1/conversations/{talk['id']}/items"
    model.play(calls("file_search", QUERIES), says("They bark."), says("Bye."))
    ask(server, model="plays", tools=[SEARCH], conversation=talk["id"])
    _, listed = get(server, f"{path}?order=asc")
    assert "Dogs bark." not in json.dumps(listed)
    assert "found" not in get(server, f"{path}/{listed['data'][1]['id']}")[1]
    ask(server, "so", "plays", conversation=talk["id"])
    assert ("tool", FOUND, []) in seen(perform)


def test_a_search_that_fails(server, model, perform):
    """A search without a question is a failed item, and the model is told."""
    model.play(calls("file_search", '{"queries": 5'), says("Pity."))
    told = events(server, model="plays", tools=[SEARCH])
    assert "file_search_call.completed" not in kinds(told)
    assert (told[-1]["response"]["output"][0]["status"], seen(perform)[-1][0]) == ("failed", "tool")


def test_the_clients_own_tools_stay_the_clients(server, model, shop):
    """A call of the client's own tool ends the response, after whatever this server called before."""
    model.play(calls("clock"), calls("own", '{"a": 1}'))
    answer = ask(server, model="plays", tools=[OWN, MCP])
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "mcp_call", "function_call"]
    assert (answer["output"][-1]["name"], answer["output"][-1]["arguments"]) == ("own", '{"a": 1}')
    clash = {**OWN, "name": "clock"}
    model.play(calls("clock"), says("x"))
    answer = ask(server, model="plays", tools=[clash, MCP])
    assert answer["output"][-1]["type"] == "function_call"
    model.play(calls("desk_clock"), says("x"))
    answer = ask(server, model="plays", tools=[clash, MCP])
    assert [tool["name"] for tool in answer["output"][0]["tools"]] == ["clock", "fails", "hangs"]
    assert answer["output"][1]["name"] == "clock"
