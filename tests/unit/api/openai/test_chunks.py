"""The bytes of a streamed chat answer."""

import json

from hypothesis import given
from hypothesis import strategies as st

from localai.api.openai.chunks import Chunks
from localai.api.openai.head import Head, head
from localai.core.event import Chosen, Done, Logprobs, Progress, Text, Thought, Timings, TokenLogprob, ToolCall, Usage
from localai.core.model import Model

HEAD = Head(id="chatcmpl-1", created=5, model='m"\n', fingerprint="fp_1")
DONE = Done(usage=Usage(prompt=3, completion=2, cached=1))


def frames(data):
    """The JSON of every server-sent event; `[DONE]` as None."""
    assert data.endswith(b"\n\n") or not data
    found = []
    for frame in data.decode().split("\n\n")[:-1]:
        assert frame.startswith("data: ")
        assert "\n" not in frame
        found.append(None if frame == "data: [DONE]" else json.loads(frame[6:]))
    return found


def streamed(*events, **options):
    return frames(Chunks(HEAD, **options).feed(0, events))


def deltas(found):
    return [chunk["choices"][0]["delta"] for chunk in found if chunk and chunk["choices"]]


def test_a_stream_is_role_pieces_reason_done():
    """The first delta has the role, then come the pieces, then the reason alone, then [DONE]."""
    found = streamed(Progress(stage="prefill"), Text(text="a"), Text(text='"\n\u2028'), DONE)
    assert found[-1] is None
    assert deltas(found) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "a"},
        {"content": '"\n\u2028'},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in found[:-1]] == [None, None, None, "stop"]
    for chunk in found[:-1]:
        assert list(chunk)[:5] == ["id", "object", "created", "model", "system_fingerprint"]
        assert (chunk["id"], chunk["object"], chunk["model"]) == ("chatcmpl-1", "chat.completion.chunk", 'm"\n')
        assert "usage" not in chunk
        assert chunk["choices"][0]["logprobs"] is None


def test_usage_comes_last_with_no_choices():
    """With `include_usage` every chunk has `usage: null` but the last, which has no choices."""
    found = streamed(Text(text="a"), DONE, usage=True)
    assert [chunk["usage"] for chunk in found[:-2]] == [None, None, None]
    assert found[-2]["choices"] == []
    assert found[-2]["usage"]["total_tokens"] == 5
    assert found[-2]["usage"]["prompt_tokens_details"]["cached_tokens"] == 1


def test_tool_calls_stream_in_pieces():
    """A call's first piece has index, id, type and name, the others index and arguments; content is null."""
    found = streamed(
        ToolCall(index=0, id="c", name="f", arguments=""),
        ToolCall(index=0, arguments='{"a":'),
        ToolCall(index=0, arguments="1}"),
        Done(finish="tool_calls"),
    )
    assert deltas(found) == [
        {"role": "assistant", "content": None, "refusal": None},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {},
    ]
    assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_older_form_streams_one_function_call():
    """A client of `functions` gets pieces of one `function_call`."""
    calls = (ToolCall(index=0, id="c", name="f"), ToolCall(index=0, arguments="{}"), ToolCall(index=1, name="g"))
    found = streamed(*calls, Done(finish="tool_calls"), legacy=True)
    assert deltas(found)[1:-1] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
    ]
    assert found[-2]["choices"][0]["finish_reason"] == "function_call"


def test_thoughts_are_reasoning_content():
    """Reasoning streams under its own name."""
    assert deltas(streamed(Thought(text="hm"), Text(text="a"), DONE))[1:3] == [
        {"reasoning_content": "hm"},
        {"content": "a"},
    ]


def test_text_comes_with_its_log_probabilities_even_across_batches():
    """A piece waits for its log-probabilities, also when they come in the next batch, and is never lost."""
    token = TokenLogprob(id=1, token="a", logprob=-1.0)
    chunks = Chunks(HEAD, logprobs=True)
    found = frames(chunks.feed(0, (Text(text="a"),)))
    assert deltas(found) == [{"role": "assistant", "content": "", "refusal": None}]
    found = frames(chunks.feed(0, (Logprobs(tokens=(Chosen(token=token),)), Text(text="b"), Text(text="c"), DONE)))
    assert deltas(found) == [{"content": "a"}, {"content": "b"}, {"content": "c"}, {}]
    assert found[0]["choices"][0]["logprobs"] == {
        "content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}],
        "refusal": None,
    }


def test_progress_is_told_only_on_request():
    """`return_progress` gives llama.cpp's `prompt_progress`; queueing and loading say nothing."""
    clock = iter((1.0, 1.25))
    chunks = Chunks(HEAD, progress=True, clock=lambda: next(clock))
    found = frames(chunks.feed(0, (Progress(stage="queued"), Progress(stage="prefill", done=5, total=10))))
    assert [chunk["prompt_progress"] for chunk in found] == [{"total": 10, "cache": 0, "processed": 5, "time_ms": 250}]
    assert streamed(Progress(stage="prefill", done=5, total=10)) == []


def test_choices_end_together():
    """Several choices interleave with their index; [DONE] follows the last, with usage of all."""
    chunks = Chunks(HEAD, choices=2, usage=True)
    assert [chunk["choices"][0]["index"] for chunk in frames(chunks.feed(1, (Text(text="b"), DONE)))] == [1, 1, 1]
    assert not chunks.done
    found = frames(chunks.feed(0, (DONE,)))
    assert chunks.done
    assert found[-1] is None
    assert (found[-2]["usage"]["prompt_tokens"], found[-2]["usage"]["completion_tokens"]) == (3, 4)


def test_timings_come_with_the_reason():
    """An engine that measured gives its timings in the chunk of the finish reason."""
    found = streamed(Done(usage=Usage(prompt=2, completion=1), timings=Timings(prompt=1.0, generate=1.0)))
    assert found[-2]["timings"]["predicted_per_second"] == 1.0


@given(st.lists(st.text(min_size=1), max_size=20))
def test_the_pieces_joined_are_the_text(pieces):
    """Whatever the text holds, the deltas joined give it back exactly."""
    found = streamed(*(Text(text=piece) for piece in pieces), DONE)
    assert "".join(delta.get("content") or "" for delta in deltas(found)) == "".join(pieces)


def test_the_fingerprint_changes_with_the_files():
    """Answers of different weights have different fingerprints, answers of the same the same."""
    first = Model(name="m", engine="echo", digests={"model": "a"})
    other = Model(name="m", engine="echo", digests={"model": "b"})
    assert head("x", first).fingerprint == head("x", first).fingerprint != head("x", other).fingerprint
    assert head("x", first).id != head("x", first).id
