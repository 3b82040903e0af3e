"""Calls that somebody has to agree to."""

import pytest

from responding import PATH, ask, events, said
from workshops import CAREFUL, MCP, NOON, SEARCH, calls, kinds, opened, says, seen


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


def approval(answer):
    (request,) = [item for item in answer["output"] if item["type"] == "mcp_approval_request"]
    return request


def test_a_call_waits_for_an_agreement(server, model, perform, shop):
    """Unless it is said to run unasked, a call is asked for; agreed to, it is made once, and the answer follows."""
    before = len(shop.mcp.desk.asked)
    model.play(calls("clock", '{"a": 1}'))
    told = events(server, model="plays", tools=[CAREFUL])
    first = told[-1]["response"]
    request = approval(first)
    asked = {"type": "mcp_approval_request", "server_label": "desk", "name": "clock", "arguments": '{"a": 1}'}
    assert ({**request, "id": None}, first["status"]) == ({**asked, "id": None}, "completed")
    assert kinds(told)[-3:] == ["output_item.added", "output_item.done", "completed"]
    assert len(shop.mcp.desk.asked) == before
    decision = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
    model.play(says("Noon."), says("Bye."))
    second = ask(server, [decision] * 2, "plays", tools=[CAREFUL], previous_response_id=first["id"])
    assert shop.mcp.desk.asked[before:] == [("clock", {"a": 1})]
    call, last = second["output"]
    assert (call["type"], call["approval_request_id"], call["output"]) == ("mcp_call", request["id"], NOON)
    turns = [("user", "to be", []), ("assistant", "", ["clock"]), ("tool", NOON, [])]
    assert (seen(perform), said({"output": [last]})) == (turns, "Noon.")
    ask(server, "so", "plays", tools=[CAREFUL], previous_response_id=second["id"])
    assert seen(perform)[:3] == turns
    assert len(shop.mcp.desk.asked) == before + 1


def test_a_call_is_not_agreed_to(server, model, perform, shop):
    """Of a refused call the model reads that it was refused, and why; it is not made."""
    before = len(shop.mcp.desk.asked)
    model.play(calls("clock"))
    first = ask(server, model="plays", tools=[CAREFUL])
    decision = {"type": "mcp_approval_response", "approval_request_id": approval(first)["id"], "approve": False}
    answer = ask(server, [{**decision, "reason": "Not now."}], "plays", previous_response_id=first["id"])
    assert [item["type"] for item in answer["output"]] == ["message"]
    assert seen(perform)[-1] == ("tool", "The user did not allow this call. Not now.", [])
    assert len(shop.mcp.desk.asked) == before


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        ("always", True),
        (None, True),
        ({"never": {"tool_names": ["clock"]}}, False),
        ({"never": {"tool_names": ["fails"]}}, True),
        ({"never": {"tool_names": ["clock"]}, "always": {"tool_names": ["clock"]}}, True),
        ({"always": {"tool_names": ["fails"]}}, True),
        ({"free": True}, True),
        ("never", False),
    ],
)
def test_which_calls_wait(server, model, rule, asks):
    """Only what a rule lets run unasked does."""
    model.play(calls("clock"), says("x"))
    answer = ask(server, model="plays", tools=[{**MCP, "require_approval": rule}])
    assert (answer["output"][1]["type"] == "mcp_approval_request") == asks


def test_an_agreement_to_nothing(server, model):
    """An agreement needs a request of the conversation, and its server and tool among the tools."""
    model.play(calls("clock"))
    first = ask(server, model="plays", tools=[CAREFUL])
    decision = {"type": "mcp_approval_response", "approval_request_id": approval(first)["id"], "approve": True}
    for item, tools, param in (
        ({**decision, "approval_request_id": "mcpr_none"}, [CAREFUL], "input.0.approval_request_id"),
        ({**decision, "approve": None}, [CAREFUL], "input.0.approve"),
        (decision, [], "input.0.approval_request_id"),
        (decision, [SEARCH], "input.0.approval_request_id"),
        (decision, [{**CAREFUL, "allowed_tools": ["fails"]}], "input.0.approval_request_id"),
    ):
        body = {"model": "plays", "input": [item], "tools": tools, "previous_response_id": first["id"]}
        status, refused = server.post(PATH, **body)
        assert (status, refused["error"]["param"]) == (400, param)
