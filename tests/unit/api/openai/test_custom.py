"""Custom tools: one text in, one text out."""

import json

import pytest

from localai.api.answer import Answer
from localai.api.openai.chat import ChatBody, asked, reply
from localai.api.openai.chunks import Chunks
from localai.api.openai.custom import arguments, text_of
from localai.api.openai.head import Head
from localai.core.errors import InvalidRequest
from localai.core.event import Done, Text, ToolCall
from localai.core.task import Call, ToolChoice
from localai.service.media import Media

HEAD = Head(id="chatcmpl-1", created=5, model="m", fingerprint="fp_1")
SQL = {"type": "custom", "custom": {"name": "sql", "description": "Runs SQL."}}
LOOK = {"type": "function", "function": {"name": "look"}}
EVENTS = (
    Text(text="well "),
    ToolCall(index=0, id="c0", name="look", arguments="{}"),
    ToolCall(index=1, id="c1", name="sql", arguments='{"input": "SELE'),
    ToolCall(index=1, arguments='CT \\"1\\""}'),
    Done(finish="tool_calls"),
)


async def ask(**fields):
    messages = fields.pop("messages", [{"role": "user", "content": "Hi"}])
    return await asked(ChatBody.model_validate({"messages": messages, **fields}), Media())


async def test_a_custom_tool_is_a_function_with_one_text():
    """To the model a custom tool is a function whose only argument is a text."""
    wanted = await ask(tools=[SQL, LOOK])
    tool = wanted.tasks[0].prompt.tools[0]
    assert (tool.name, tool.description, tool.strict) == ("sql", "Runs SQL.", False)
    assert tool.parameters["properties"] == {"input": {"type": "string"}}
    assert tool.parameters["required"] == ["input"]
    assert wanted.customs == {"sql"}


async def test_a_regular_expression_becomes_a_strict_pattern():
    """A format that is a regular expression is enforced as a pattern, from the first character to the last."""
    form = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+|b"}}
    wanted = await ask(tools=[{"type": "custom", "custom": {"name": "x", "format": form}}])
    tool = wanted.tasks[0].prompt.tools[0]
    assert tool.parameters["properties"]["input"]["pattern"] == "^(?:a+|b)$"
    assert tool.strict


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([{"type": "custom"}], "tools.0.custom"),
        ([SQL, {"type": "function", "function": {"name": "sql"}}], "tools.1"),
        (
            [
                {
                    "type": "custom",
                    "custom": {
                        "name": "x",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}},
                    },
                }
            ],
            "tools.0.custom.format.grammar.syntax",
        ),
    ],
)
async def test_what_cannot_be_offered_is_refused(tools, param):
    """A custom tool without its body, a name that is taken, and a grammar nobody enforces are refused by place."""
    with pytest.raises(InvalidRequest) as caught:
        await ask(tools=tools)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "custom", "custom": {"name": "sql"}}, ToolChoice(mode="required", name="sql")),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "sql"}}]},
            },
            ToolChoice(mode="required"),
        ),
    ],
)
async def test_a_custom_tool_can_be_chosen(choice, expected):
    """A rule may name a custom tool, alone or among those allowed."""
    prompt = (await ask(tools=[LOOK, SQL], tool_choice=choice)).tasks[0].prompt
    assert prompt.tool_choice == expected


async def test_a_custom_call_of_the_history():
    """A custom call that the client gives back is the call of the function that stands for it."""
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": 'a "b"'}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]
    turns = (await ask(messages=messages, tools=[SQL])).tasks[0].prompt.messages
    assert turns[1].calls == (Call(id="c1", name="sql", arguments='{"input": "a \\"b\\""}'),)


async def test_a_whole_answer_gives_the_text():
    """In a whole answer a custom call carries its text, and other calls are as ever."""
    answer = Answer()
    for event in EVENTS:
        answer.hear(event)
    message = reply([answer], HEAD, await ask(tools=[SQL, LOOK]))["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": 'SELECT "1"'}},
    ]


def test_a_stream_gives_the_text_in_one_piece():
    """In a stream a custom call comes whole before the reason, and other calls as they come."""
    data = Chunks(HEAD, customs=frozenset({"sql"})).feed(0, EVENTS)
    chunks = [json.loads(frame[6:]) for frame in data.decode().split("\n\n")[:-2]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta] == [
        {"index": 0, "id": "c0", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        {"index": 1, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": 'SELECT "1"'}},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("given", ['{"input": "a', "[]", '{"input": 5}', "{}", "null", ""])
def test_arguments_that_are_no_text_are_given_as_they_are(given):
    """A call that was cut off, or is of another form, is not made to look whole."""
    assert text_of(given) == given


@pytest.mark.parametrize("text", ["", "a", '"\\\n\u2028', "ä"])
def test_text_and_back(text):
    """A text becomes arguments and comes back the same."""
    assert text_of(arguments(text)) == text
