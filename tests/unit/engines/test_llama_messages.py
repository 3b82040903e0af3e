"""Conversations for templates that know more or less."""

import pytest

from localai.core.errors import InvalidRequest
from localai.core.task import AudioPart, Call, Chat, ImagePart, Message, TextPart, Tool, ToolChoice
from localai.engines.llama.messages import Template, messages

PLAIN = Template()
TOOL = Tool(name="add", description="Adds.", parameters={"type": "object"})


def turn(role: str, words: str, **fields) -> Message:
    return Message(role=role, content=(TextPart(text=words),), **fields)


def written(*turns: Message, template: Template = PLAIN, native: bool = False, forced: bool = False, **fields):
    system = fields.pop("system", None)
    return messages(Chat(messages=turns, **fields), template, system=system, native=native, forced=forced)


def test_plain_turns():
    """Text turns become role and content, thoughts are given back, and a default system message comes first."""
    given = written(turn("user", "a"), turn("assistant", "b", thought="t"), system="s")
    assert given == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "t"},
    ]
    assert written(turn("system", "own"), turn("user", "a"), system="s")[0]["content"] == "own"


def test_without_a_system_role():
    """A template without a system role finds the system message in the user's turn."""
    given = written(turn("system", "s"), turn("user", "a"), template=Template(system=False))
    assert given == [{"role": "user", "content": "s\n\na"}]
    assert written(turn("system", "s"), template=Template(system=False)) == [{"role": "user", "content": "s"}]


def test_a_system_message_in_the_middle():
    """A template that takes system messages only at the beginning finds later ones as words of the user, in place."""
    turns = (turn("system", "s"), turn("system", "t"), turn("user", "a"), turn("system", "m"), turn("assistant", "b"))
    assert [one["role"] for one in written(*turns)] == ["system", "system", "user", "system", "assistant"]
    given = written(*turns, template=Template(midway=False))
    assert [(one["role"], one["content"]) for one in given] == [
        ("system", "s\n\nt"),
        ("user", "a"),
        ("user", "m"),
        ("assistant", "b"),
    ]
    without = written(*turns, template=Template(system=False))
    assert [one["content"] for one in without] == ["s\n\nt\n\na", "m", "b"]
    assert written(*turns[2:4], template=Template(midway=False))[0] == {"role": "user", "content": "a"}


def test_alternating_roles():
    """Turns of one role in a row are joined for a template that demands alternation."""
    given = written(turn("user", "a"), turn("user", "b"), turn("assistant", "c"), template=Template(alternating=True))
    assert [one["content"] for one in given] == ["a\n\nb", "c"]


def test_tools_in_words():
    """Tools are told in the system message, calls and results in turns that every template knows."""
    call = Call(id="1", name="add", arguments='{"a": 1}')
    given = written(
        turn("user", "x"), Message(role="assistant", calls=(call,)), turn("tool", "2", call_id="1"), tools=(TOOL,)
    )
    assert [one["role"] for one in given] == ["system", "user", "assistant", "user"]
    assert '"name": "add"' in given[0]["content"] and "Otherwise answer in words" in given[0]["content"]
    assert given[2]["content"] == '{"name": "add", "arguments": {"a": 1}}'
    assert given[3]["content"] == "Result of add: 2"
    forced = written(turn("system", "s"), turn("user", "x"), tools=(TOOL,), forced=True)
    assert forced[0]["content"].startswith("s\n\nYou can call") and "Otherwise" not in forced[0]["content"]
    none = written(turn("user", "x"), tools=(TOOL,), tool_choice=ToolChoice(mode="none"))
    assert none == [{"role": "user", "content": "x"}]


def test_tools_in_the_templates_own_form():
    """A template that knows tools gets calls and results as they are."""
    call = Call(id="1", name="add", arguments="")
    given = written(Message(role="assistant", calls=(call,)), turn("tool", "2", call_id="1"), native=True)
    assert given[0]["tool_calls"] == [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]
    assert given[1] == {"role": "tool", "content": "2", "tool_call_id": "1"}


def test_pictures_and_sound():
    """Pictures travel as data URLs of their kind, sound as base64 with its format."""
    parts = (TextPart(text="a"), ImagePart(data=b"\xff\xd8\xff!"), AudioPart(data=b"RIFF", format="wav"))
    (given,) = written(Message(role="user", content=parts))
    assert given["content"][0] == {"type": "text", "text": "a"}
    assert given["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert given["content"][2]["input_audio"] == {"data": "UklGRg==", "format": "wav"}


def test_nothing_to_say():
    """An empty conversation is refused."""
    with pytest.raises(InvalidRequest):
        written()
