"""Which of the tools that the server calls itself are offered, and which are chosen."""

import json

import pytest

from responding import PATH, ask, get, said
from workshops import MCP, NOON, OWN, SEARCH, calls, opened, says


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


@pytest.mark.parametrize(
    ("tools", "status", "param"),
    [
        ([{**MCP, "server_label": "other", "server_url": "http://127.0.0.1:1/mcp"}], 400, "tools.0.server_label"),
        ([OWN, {"type": "mcp", "server_url": "http://127.0.0.1:1/mcp"}], 400, "tools.1.server_label"),
        ([MCP, MCP], 400, "tools.1.server_label"),
        ([{**MCP, "server_label": 5}], 400, "tools.0.server_label"),
        ([{**MCP, "allowed_tools": {"read_only": True}}], 400, "tools.0.allowed_tools.read_only"),
        (
            [{**MCP, "require_approval": {"never": {"read_only": True}}}],
            400,
            "tools.0.require_approval.never.read_only",
        ),
        ([{**MCP, "require_approval": "sometimes"}], 400, "tools.0.require_approval"),
        ([{**MCP, "require_approval": 5}], 400, "tools.0.require_approval"),
        ([{"type": "file_search"}], 400, "tools.0.vector_store_ids"),
        ([{**SEARCH, "vector_store_ids": []}], 400, "tools.0.vector_store_ids"),
        ([{**SEARCH, "vector_store_ids": ["vs_1", "vs_2"]}], 404, "tools.0.vector_store_ids.1"),
        ([SEARCH, SEARCH], 400, "tools.1"),
        ([{**SEARCH, "max_num_results": 51}], 400, "tools.0.max_num_results"),
        ([{**SEARCH, "filters": {"type": "like"}}], 400, "tools.0.filters.type"),
    ],
)
def test_what_cannot_be_offered(server, tools, status, param):
    """Only configured servers and own stores are offered, and what is wrong is named, whole, streamed or counted."""
    for path, more in (
        (PATH, {}),
        (PATH, {"stream": True}),
        (PATH, {"background": True}),
        (f"{PATH}/input_tokens", {}),
    ):
        answer = server.post(path, model="plays", input="x", tools=tools, **more)
        assert (answer[0], answer[1]["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "mcp", "server_label": "desk", "name": "clock"}, "clock"),
        ({"type": "file_search"}, None),
        ("none", ""),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]}, None),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "mcp", "server_label": "desk", "name": "fails"}],
            },
            "fails",
        ),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "desk"}]}, "clock"),
    ],
)
def test_a_tool_is_chosen(server, choice, called):
    """A tool that is chosen is called; among those of a rule, and no others, when the rule names some."""
    answer = ask(server, tools=[MCP, SEARCH], tool_choice=choice)
    made = [item for item in answer["output"] if item["type"] in {"mcp_call", "file_search_call"}]
    assert [item.get("name") for item in made] == ([] if called == "" else [called])


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([MCP], {"type": "mcp", "server_label": "other"}, "tool_choice"),
        ([MCP], {"type": "mcp", "server_label": "desk", "name": "nothing"}, "tool_choice"),
        ([MCP], {"type": "file_search"}, "tool_choice"),
        ([MCP, OWN], {"type": "mcp", "server_label": "desk"}, "tool_choice.name"),
        ([{**MCP, "allowed_tools": []}], "required", "tool_choice"),
        ([MCP], {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}, "tool_choice"),
    ],
)
def test_what_cannot_be_chosen(server, tools, choice, param):
    """A choice of what is not there is refused."""
    status, refused = server.post(PATH, model="echo", input="x", tools=tools, tool_choice=choice)
    assert (status, refused["error"]["param"]) == (400, param)


def test_any_tool_of_a_server(server):
    """A server alone can be chosen without the name of a tool."""
    answer = ask(server, tools=[MCP], tool_choice={"type": "mcp", "server_label": "desk"})
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "mcp_call", "message"]


def test_calls_are_counted(server, model, shop):
    """With `max_tool_calls` no more calls are made than that, in all rounds together."""
    before = len(shop.mcp.desk.asked)
    model.play(calls("clock"), calls("clock"), says("x"))
    answer = ask(server, model="plays", tools=[MCP], max_tool_calls=1)
    assert [item["status"] for item in answer["output"][1:3]] == ["completed", "failed"]
    assert len(shop.mcp.desk.asked) == before + 1


def test_allowed_tools(server, perform):
    """Only the tools that are allowed are offered and listed."""
    for allowed in (["clock"], {"tool_names": ["clock"]}):
        answer = ask(server, tools=[{**MCP, "allowed_tools": allowed}])
        assert [tool["name"] for tool in answer["output"][0]["tools"]] == ["clock"]
        assert [tool.name for tool in perform.asked[-1].prompt.tools] == ["clock"]


def test_secrets_are_not_given_back(server):
    """What a client sends for a server of its own is neither used nor kept."""
    tool = {**MCP, "server_url": "https://x.example", "authorization": "canary", "headers": {"X": "canary"}}
    answer = ask(server, tools=[tool])
    assert answer["tools"] == [{**MCP, "server_url": "https://x.example"}]
    answer = ask(server, [{"type": "additional_tools", "tools": [tool]}, {"role": "user", "content": "x"}])
    assert answer["output"][0]["type"] == "mcp_list_tools"
    assert "canary" not in json.dumps(get(server, f"{PATH}/{answer['id']}/input_items")[1])


def test_too_long_conversations_are_cut(server):
    """With `truncation: auto` the oldest turns go in every round."""
    long = [{"role": "user", "content": "word " * 5000}, {"role": "user", "content": "Hi"}]
    choice = {"type": "mcp", "server_label": "desk", "name": "clock"}
    status, refused = server.post(PATH, model="echo", input=long, tools=[MCP], tool_choice=choice)
    assert (status, refused["error"]["code"]) == (400, "context_length_exceeded")
    answer = ask(server, long, tools=[MCP], tool_choice=choice, truncation="auto")
    assert said(answer) == NOON


def test_the_prompt_is_counted_with_its_tools(server, perform):
    """Counting reads the prompt with all its tools."""
    assert server.post(f"{PATH}/input_tokens", model="echo", input="x", tools=[MCP, SEARCH])[0] == 200
    render = next(task for task in reversed(perform.asked) if hasattr(task, "chat"))
    assert [tool.name for tool in render.chat.tools] == ["file_search", "clock", "fails", "hangs"]
