"""Grammars of formats and calls, kept for the next time."""

import random

import pytest

from llamas import calls
from localai.core.errors import InvalidRequest, UnsupportedSchema
from localai.core.task import AnyJson, Chat, FreeText, Grammar, Schema, Tool, ToolChoice
from localai.engines.llama.calls import Forced
from localai.engines.llama.constraint import Constraints, bounds
from sentences import sentence

ADD = Tool(name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
STOP = Tool(name="stop")


def test_the_number_of_kept_grammars_is_bounded():
    """Ten thousand different schemas in a row leave a bounded cache."""
    kept = Constraints()
    for number in range(10_000):
        kept.format(Schema(schema={"const": number}), 1000)
    assert len(kept) <= 64


def test_the_same_schema_is_written_once():
    """The same schema gives the very same grammar, and free text none."""
    kept = Constraints()
    schema = Schema(schema={"type": "object", "properties": {"a": {"type": "string"}}})
    assert kept.format(schema, 1000) is kept.format(schema, 1001)
    assert kept.format(FreeText(), 1000) is None
    assert kept.format(Grammar(grammar='root ::= "a"'), 10) == 'root ::= "a"'


def test_many_strings_share_the_answer():
    """The more strings without a bound, the shorter each, but never under 256 characters."""
    assert bounds(8192).characters == 4096
    assert bounds(8192, 4).characters == 1024
    assert bounds(8192, 10_000).characters == 256
    assert bounds(100).characters == 256 and bounds(10**6).characters == 8192
    many = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(8)}}
    assert "char{256}" in (Constraints().format(Schema(schema=many), 8192) or "")


def said(chat: Chat, wanted=None) -> set[tuple]:
    grammar = Constraints().calls(chat, wanted or FreeText(), 1000)
    found = set()
    for seed in range(80):
        events = []
        sink = Forced(events.append, [tool.name for tool in chat.tools], text=True)
        sink.feed(sentence(grammar, random.Random(seed)))
        sink.finish()
        found.add(tuple(name for name, _ in calls(events)))
    return found


def test_required_calls():
    """A required call is any of the tools, several only when that is allowed, and a named one exactly that one."""
    tools = (ADD, STOP)
    required = ToolChoice(mode="required")
    one = said(Chat(messages=(), tools=tools, tool_choice=required, parallel_calls=False))
    assert one == {("add",), ("stop",)}
    several = said(Chat(messages=(), tools=tools, tool_choice=required))
    assert {len(names) for names in several} >= {1, 2, 3} and one < several
    named = ToolChoice(mode="required", name="add")
    assert said(Chat(messages=(), tools=tools, tool_choice=named)) == {("add",)}


def test_a_format_beside_tools():
    """With tools that may be called, the answer is a call or the format."""
    found = said(Chat(messages=(), tools=(STOP,), parallel_calls=False), AnyJson())
    assert found == {("stop",), ()}


def test_what_makes_no_sense_is_refused():
    """A named tool that is not offered, and parameters that are no object, are refused."""
    with pytest.raises(InvalidRequest) as refused:
        Constraints().calls(
            Chat(messages=(), tools=(ADD,), tool_choice=ToolChoice(mode="required", name="x")), FreeText(), 100
        )
    assert refused.value.param == "tool_choice"
    listing = Tool(name="l", parameters={"type": "array"})
    with pytest.raises(UnsupportedSchema, match=r"tools\.0\.parameters"):
        Constraints().calls(Chat(messages=(), tools=(listing,)), FreeText(), 100)
