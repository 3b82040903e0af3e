"""Tool calls out of text, however it is cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamas import calls, text
from localai.core.errors import UnsupportedSchema
from localai.core.task import Tool
from localai.engines.llama.arguments import Offered
from localai.engines.llama.calls import HELD, MOST_CALLS, Caught, Forced
from localai.engines.llama.scan import Scanner

WEATHER = Tool(
    name="get_weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
ADD = Tool(name="add", parameters={"type": "object", "properties": {"a": {"type": "number"}}})
CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
MADE = [("get_weather", {"city": "Paris"})]


def pieces(whole: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[start:end] for start, end in pairwise(places)]


def caught(parts: list[str]) -> tuple[str, list[tuple[str, dict]]]:
    events = []
    sink = Caught(events.append, Offered((WEATHER, ADD)))
    for part in parts:
        sink.feed(part)
    count = sink.finish()
    made = [(name, json.loads(arguments)) for name, arguments in calls(events)]
    assert count == len(made)
    return text(events), made


SPELLINGS = {
    "bare": (CALL, "", MADE),
    "spread": (json.dumps(json.loads(CALL), indent=2), "", MADE),
    "fenced": (f"```json\n{CALL}\n```", "", MADE),
    "fenced without a language": (f"```\n{CALL}\n```\n", "", MADE),
    "fenced and cut off": (f"```json\n{CALL}", "", MADE),
    "tagged": (f"<tool_call>\n{CALL}\n</tool_call>", "", MADE),
    "tag cut off": (f"<tool_call>{CALL}", "", MADE),
    "after words": (f"Let me see.\n{CALL}", "Let me see.\n", MADE),
    "after words in a fence": (f"Sure!\n```json\n{CALL}\n```", "Sure!\n", MADE),
    "parameters": ('{"name": "get_weather", "parameters": {"city": "Paris"}}', "", MADE),
    "function": ('{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}', "", MADE),
    "arguments as text": ('{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}', "", MADE),
    "tool_calls": (f'{{"tool_calls": [{CALL}]}}', "", MADE),
    "array": (f"[{CALL}, {CALL}]", "", MADE * 2),
    "two in a row": (f"{CALL}\n{CALL}", "", MADE * 2),
    "words after": (f"{CALL}\nDone.", "Done.", MADE),
}
TEXTS = {
    "words": "The weather is fine.",
    "json": '{"city": "Paris", "temperature": 20}',
    "a list": "[1, 2, 3]",
    "code": "```python\nprint({'name': 1})\n```\nAnd more.",
    "fenced json": '```json\n{"city": "Paris"}\n```',
    "braces in words": "Use {braces} and [brackets] `so`.",
    "unknown tool": '{"name": "launch", "arguments": {}}',
    "wrong arguments": '{"name": "get_weather", "arguments": {"city": 5}}',
    "no arguments": '{"name": "get_weather"}',
    "broken": '{"name": "get_weather", "arguments": {"city": "Paris"',
    "half a tag": "a <tool_ b <tool_cal",
    "ticks": "``` `` ` ```",
    "lines": "a\n\n  \n{\nb",
    "too deep": "[" * 3000,
}


@pytest.mark.parametrize(("said", "left", "made"), SPELLINGS.values(), ids=SPELLINGS.keys())
@given(cuts=st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=25, deadline=None)
def test_calls_are_caught_in_every_spelling(said, left, made, cuts):
    """Bare, fenced or tagged JSON that calls an offered tool becomes a call, wherever the text is cut."""
    rest, found = caught(pieces(said, cuts))
    assert (rest.strip(), found) == (left.strip(), made)


@pytest.mark.parametrize("said", TEXTS.values(), ids=TEXTS.keys())
@given(cuts=st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=25, deadline=None)
def test_everything_else_stays_text_to_the_letter(said, cuts):
    """What is no valid call of an offered tool comes out unchanged, wherever the text is cut."""
    assert caught(pieces(said, cuts)) == (said, [])


def test_text_is_not_held_back():
    """Words stream on at once; only what may still become a call waits."""
    events = []
    sink = Caught(events.append, Offered((WEATHER,)))
    sink.feed("Hello, ")
    assert text(events) == "Hello, "
    sink.feed("world!\n")
    sink.feed('{"city')
    assert text(events) == "Hello, world!\n"
    sink.feed('": 1}')
    assert text(events) == 'Hello, world!\n{"city": 1}'


def test_what_is_held_back_is_bounded():
    """A block that does not end becomes text when it grows too large, and so do calls without number."""
    endless = '{"name": "get_weather", "arguments": {"city": "' + "a" * 1000
    events = []
    sink = Caught(events.append, Offered((WEATHER,)))
    sink.feed(endless)
    for _ in range(HELD // 1000 + 1):
        sink.feed("a" * 1000)
    assert text(events)
    sink.finish()
    rest, made = caught([CALL + "\n"] * 300)
    assert len(made) == MOST_CALLS and rest.count("get_weather") == 300 - MOST_CALLS


def forced(parts: list[str], *, words: bool = False):
    events = []
    sink = Forced(events.append, ["get_weather", "add"], text=words)
    for part in parts:
        sink.feed(part)
    return text(events), calls(events), sink.finish(), events


@given(st.lists(st.integers(0, 10_000), max_size=10))
@settings(max_examples=50, deadline=None)
def test_a_forced_call_is_read_wherever_it_is_cut(cuts):
    """One call or an array of calls is read to the letter, and ids differ."""
    odd = '{"name": "add", "arguments": {"a": "}\\"{", "b": [{}, "]"]}}'
    for whole, number in ((CALL, 1), (f"[{CALL}, {odd}, {CALL}]", 3)):
        words, made, count, events = forced(pieces(whole, cuts))
        assert (words, count) == ("", number)
        assert json.loads(made[0][1]) == {"city": "Paris"}
        ids = [event.id for event in events if event.id]
        assert len(set(ids)) == number
    assert made[1] == ("add", '{"a": "}\\"{", "b": [{}, "]"]}')


def test_arguments_stream():
    """The name comes as soon as it is certain, the arguments piece by piece."""
    events = []
    sink = Forced(events.append, ["add"], text=False)
    sink.feed('{"name": "add", "argum')
    assert not events
    sink.feed('ents": {"a"')
    assert [(event.name, event.arguments) for event in events] == [("add", ""), ("", '{"a"')]


@given(st.lists(st.integers(0, 10_000), max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_format_beside_tools_is_text(cuts):
    """Where a format may be answered instead, what is no call comes out as text."""
    said = '{"name": "something else", "x": 1}'
    assert forced(pieces(said, cuts), words=True)[:3] == (said, [], 0)


def test_a_strict_tool_must_be_enforceable():
    """A strict tool whose schema cannot be enforced is refused; another is judged by what can be."""
    odd = {"type": "object", "properties": {"a": {"not": {}}}, "required": ["a"]}
    with pytest.raises(UnsupportedSchema, match=r"tools\.0\.parameters\.a\.not"):
        Offered((Tool(name="t", parameters=odd, strict=True),))
    loose = Offered((Tool(name="t", parameters=odd),))
    assert loose.accept("t", {"a": 1}) == '{"a": 1}'
    assert loose.accept("t", {}) is None


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
@settings(max_examples=100, deadline=None)
def test_the_scanner_finds_the_end(value):
    """The end of an object is found exactly, fed whole or character by character."""
    whole = json.dumps({"x": value}, ensure_ascii=False)
    assert Scanner().feed(whole + "}}") == len(whole)
    scanner = Scanner()
    ends = [place for place, char in enumerate(whole) if scanner.feed(char) is not None]
    assert ends == [len(whole) - 1]
