"""Chunks become events, and the account at the end is right."""

import json
import threading

import pytest

from llamas import calls, text
from localai.core.errors import ContextLengthExceeded, InternalError, UnsupportedSchema
from localai.core.event import Done, Progress, Thought
from localai.core.task import Tool
from localai.engines.llama.answer import Answer
from localai.engines.llama.arguments import Offered, validator
from localai.engines.llama.problems import complaint, problem

TOOL = Tool(name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})


def delta(**fields) -> dict:
    return {"choices": [{"index": 0, "finish_reason": None, "delta": fields}]}


def end(reason: str = "stop", **usage) -> list[dict]:
    counted = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}, **usage}
    return [
        {"choices": [{"index": 0, "finish_reason": reason, "delta": {}}]},
        {"choices": [], "usage": counted, "timings": {"prompt_ms": 500, "predicted_ms": 1500}},
    ]


def answered(chunks: list[dict], *, offered: Offered | None = None, **options):
    events = []
    answer = Answer(events.append, threading.Event(), **options)
    if offered:
        answer.judge(offered)
    for chunk in chunks:
        answer.feed(json.dumps(chunk).encode())
    answer.finish()
    return events


def test_text_thoughts_and_the_account():
    """Thoughts are kept apart from text; usage and timings come from the last chunks."""
    chunks = [
        {"choices": [], "prompt_progress": {"total": 7, "cache": 2, "processed": 7}},
        delta(role="assistant", content=None),
        delta(reasoning_content="hm"),
        delta(content="Yes"),
        *end(),
    ]
    events = answered(chunks)
    assert events[:2] == [Progress(stage="prefill", done=7, total=7), Thought(text="hm")]
    assert text(events) == "Yes"
    done = events[-1]
    assert (done.usage.prompt, done.usage.cached, done.usage.completion, done.usage.thought) == (7, 2, 3, 1)
    assert (done.timings.prompt, done.timings.generate, done.finish) == (0.5, 1.5, "stop")


def native(name: str, *arguments: str) -> list[dict]:
    first = {"index": 0, "id": "x", "type": "function", "function": {"name": name, "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": piece}} for piece in arguments]
    return [delta(tool_calls=[piece]) for piece in (first, *rest)]


def test_native_calls_are_judged():
    """A call that the template parsed comes out whole when it is valid, and as text when it is not."""
    events = answered([*native("add", '{"a"', ": 1}"), *end("tool_calls")], offered=Offered((TOOL,)))
    assert calls(events) == [("add", '{"a": 1}')] and events[-1].finish == "tool_calls"
    for name, arguments in (("add", '{"a": "x"}'), ("launch", "{}"), ("add", "{")):
        events = answered([*native(name, arguments), *end("tool_calls")], offered=Offered((TOOL,)))
        assert not calls(events) and name in text(events) and events[-1].finish == "stop"


def test_native_calls_are_bounded():
    """Arguments without end stop the answer, and calls beyond the ceiling are not kept."""
    answer = Answer([].append, threading.Event())
    piece = json.dumps(native("add", "x" * 2**20)[1]).encode()
    assert [answer.feed(piece) for _ in range(5)] == [False, False, False, False, True]
    with pytest.raises(InternalError):
        answer.finish()


def test_a_format_is_checked_at_the_end():
    """Text that breaks its schema is an error of ours, unless it was cut or stopped."""
    check = validator({"type": "object", "required": ["a"]})
    assert answered([delta(content='{"a": 1}'), *end()], check=check)[-1].finish == "stop"
    for wrong in ("{}", "{", ""):
        with pytest.raises(InternalError):
            answered([delta(content=wrong), *end()], check=check)
    assert answered([delta(content="{"), *end("length")], check=check)[-1].finish == "length"


def test_stop_is_asked_for():
    """A set stop flag asks the engine to stop at the next chunk."""
    stop = threading.Event()
    answer = Answer([].append, stop)
    chunk = json.dumps(delta(content="a")).encode()
    assert not answer.feed(chunk)
    stop.set()
    assert answer.feed(chunk)


def test_an_error_chunk_ends_the_answer():
    """An error in the stream is raised with both counts, in our words."""
    error = {"message": "x", "type": "exceed_context_size_error", "n_prompt_tokens": 300, "n_ctx": 256}
    with pytest.raises(ContextLengthExceeded, match="300 tokens; this model takes 256"):
        answered([{"error": error}])


def test_foreign_words_never_pass():
    """Known complaints are translated, unknown ones are internal errors, and no text of theirs is repeated."""
    assert isinstance(complaint("failed to parse grammar CANARY"), UnsupportedSchema)
    assert isinstance(complaint("something CANARY"), InternalError)
    for message in ("failed to parse grammar CANARY", "something CANARY", "jinja: CANARY"):
        assert "CANARY" not in complaint(message).message
    assert isinstance(problem("nonsense"), InternalError) and isinstance(problem({}), InternalError)


def test_done_is_last():
    """Done is the last event."""
    assert isinstance(answered([delta(content="a"), *end()])[-1], Done)


def test_the_stop_string_is_told_wherever_it_stands():
    """A chat names the stop string in its last chunk with words, a completion in the one with the usage."""
    told = {"__verbose": {"stopping_word": "END"}}
    last, usage = end()
    for chunks in ([last | told, usage], [last, usage | told]):
        assert answered([delta(content="a"), *chunks])[-1].stop == "END"
