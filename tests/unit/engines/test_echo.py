"""The echo engine, which every other test leans on."""

import threading

import pytest

from localai.core.errors import ContextLengthExceeded
from localai.core.event import Done, Event, Logprobs, Progress, Score, Text, Tokens, ToolCall, Vector
from localai.core.model import Model, Sizing
from localai.core.task import (
    Chat,
    Detokenize,
    Embed,
    Generate,
    Message,
    Raw,
    Render,
    Rerank,
    Task,
    TextPart,
    Tokenize,
    Tool,
    ToolChoice,
)
from localai.engines.echo import EchoEngine, words


def answer(task: Task, *, stop: bool = False, context: int = 100, **options: float) -> list[Event]:
    engine, events, stopped = EchoEngine(), [], threading.Event()
    engine.load(Model(name="echo", engine="echo", options=options), Sizing(context=context), None)
    if stop:
        stopped.set()
    engine.run(task, events.append, stopped)
    engine.close()
    return events


def chat(text: str, **fields) -> Generate:
    message = Message(role="user", content=(TextPart(text=text),))
    return Generate(prompt=Chat(messages=(message,), **fields))


def test_words_lose_nothing():
    """The pieces of a text joined are the text, whatever white space it has."""
    for text in ("", " a  b\n", "one", "\t", "ä ö"):
        assert "".join(words(text)) == text


def test_a_chat_is_said_back():
    """The last message comes back in pieces, with progress before and usage after."""
    events = answer(chat("to be or not"))
    assert isinstance(events[0], Progress)
    assert "".join(event.text for event in events if isinstance(event, Text)) == "to be or not"
    assert events[-1].finish == "stop"
    assert (events[-1].usage.prompt, events[-1].usage.completion) == (4, 4)


def test_max_tokens_ends_with_length():
    """An answer cut by max_tokens says so."""
    events = answer(Generate(prompt=Raw(text="a b c"), max_tokens=2))
    assert events[-1].finish == "length"
    assert events[-1].usage.completion == 2


def test_a_stopped_run_ends_early():
    """Once stop is set no more text comes, and the run still ends with Done."""
    events = answer(chat("a b c"), stop=True)
    assert not [event for event in events if isinstance(event, Text)]
    assert isinstance(events[-1], Done)


def test_a_prompt_beyond_the_context_is_refused():
    """A prompt that leaves no room is an error with both numbers, never cut."""
    with pytest.raises(ContextLengthExceeded, match=r"3.*2"):
        answer(chat("a b c"), context=2)


def test_logprobs_follow_their_text():
    """Each piece is followed by its log-probabilities when they were asked for."""
    message = Message(role="user", content=(TextPart(text="a b"),))
    events = answer(Generate(prompt=Chat(messages=(message,)), logprobs=1))
    kinds = [type(event) for event in events if isinstance(event, Text | Logprobs)]
    assert kinds == [Text, Logprobs, Text, Logprobs]


def test_a_required_tool_is_called():
    """With tool_choice required the answer is a call of the named tool."""
    tools = (Tool(name="f"), Tool(name="g"))
    events = answer(chat("x", tools=tools, tool_choice=ToolChoice(mode="required", name="g")))
    (call,) = [event for event in events if isinstance(event, ToolCall)]
    assert call.name == "g"
    assert events[-1].finish == "tool_calls"


def test_vectors_are_of_unit_length_and_repeatable():
    """The same text has the same vector of the asked length; different texts differ."""
    first, second, third = [e for e in answer(Embed(inputs=("a", "b", "a"), dimensions=16)) if isinstance(e, Vector)]
    assert len(first.data) == 16 * 4
    assert first.data == third.data != second.data


def test_rerank_prefers_shared_words():
    """A document that shares words with the query scores higher."""
    low, high = [
        e.score for e in answer(Rerank(query="red cat", documents=("blue dog", "a cat"))) if isinstance(e, Score)
    ]
    assert high > low


def test_tokens_and_text():
    """Tokenize gives the pieces' bytes, detokenize and render give text."""
    (tokens, _) = answer(Tokenize(text="a bc"))
    assert isinstance(tokens, Tokens)
    assert b"".join(tokens.pieces) == b"a bc"
    assert answer(Detokenize(ids=(1, 2)))[0] == Text(text="1 2")
    assert "hello" in answer(Render(chat=chat("hello").prompt))[0].text
