"""The events of a streamed message, and the message object of a whole one."""

import json

import pytest

from localai.api.answer import Answer
from localai.api.anthropic.body import Asked
from localai.api.anthropic.message import reply
from localai.api.anthropic.stream import Stream
from localai.api.anthropic.thinking import Recall
from localai.core.errors import InternalError
from localai.core.event import Done, Logprobs, Progress, Text, Thought, ToolCall, Usage
from localai.core.task import Generate, Raw


def asked_for(*, thoughts=True, shown=True, **fields):
    task = Generate(prompt=Raw(text="x"), **fields)
    return Asked(task=task, stream=True, thoughts=thoughts, shown=shown, keep_alive=None)


def events_of(*batches, wanted=None):
    """The JSON of all events; their names must be their types."""
    writer = Stream("msg_1", "m", wanted or asked_for())
    raw = b"".join(writer.feed(0, batch) for batch in batches)
    found = []
    for chunk in raw.decode().split("\n\n")[:-1]:
        name, data = chunk.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    assert writer.done == (bool(found) and found[-1]["type"] == "message_stop")
    return found


def whole_of(*events, wanted=None):
    answer = Answer()
    for event in events:
        answer.hear(event)
    return reply(answer, "msg_1", "m", wanted or asked_for())


def gathered(events):
    """The content blocks that a stream adds up to."""
    blocks = {}
    for event in events:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks[event["index"]] = {**event["content_block"], "partial": ""}
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            field = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
            name = field.get(delta["type"], "partial")
            block[name] += delta["partial_json" if name == "partial" else name]
    for block in blocks.values():
        partial = block.pop("partial")
        if block["type"] == "tool_use":
            block["input"] = json.loads(partial or "{}")
    return [blocks[index] for index in sorted(blocks)]


DONE = Done(usage=Usage(prompt=10, completion=4, cached=7, thought=1))
FULL = (
    Progress(stage="queued"),
    Progress(stage="prefill", done=7, total=10),
    Progress(stage="prefill", done=10, total=10),
    Thought(text="h"),
    Thought(text="m"),
    Text(text="A"),
    Logprobs(tokens=()),
    Text(text="b\n"),
    ToolCall(index=0, id="call_1", name="look", arguments='{"a"'),
    ToolCall(index=0, arguments=": 1}"),
    ToolCall(index=1, id="call_2", name="look"),
    Done(finish="tool_calls", usage=DONE.usage),
)


def test_a_stream_tells_the_prompt_first():
    """The message starts when the engine begins to read, with the size of the prompt; queueing is silent."""
    assert events_of((Progress(stage="queued"),), (Progress(stage="prefill"),)) == []
    (start,) = events_of((Progress(stage="prefill", done=0, total=12),), (Progress(stage="prefill", done=6, total=12),))
    message = start["message"]
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (12, 0)
    assert (message["id"], message["model"], message["role"], message["content"]) == ("msg_1", "m", "assistant", [])
    assert message["stop_reason"] is None


def test_an_engine_without_progress_starts_with_its_first_piece():
    """Where the size of the prompt is not known beforehand, the last event tells it."""
    events = events_of((Text(text="A"),), (DONE,))
    assert events[0]["message"]["usage"]["input_tokens"] == 0
    usage = events[-2]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (3, 7, 4)


@pytest.mark.parametrize("size", [1, 3, len(FULL)])
def test_blocks_open_grow_and_close(size):
    """Whatever batches they come in, events make one block after the other, each closed before the next."""
    events = events_of(*(FULL[start : start + size] for start in range(0, len(FULL), size)))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened = None
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert opened is None
            opened = event["index"]
        else:
            assert event["index"] == opened
            opened = None if event["type"] == "content_block_stop" else opened
    assert opened is None
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_a_stream_adds_up_to_the_whole_answer():
    """The blocks of a stream are those of the whole answer, and so are reason and usage."""
    events, whole = events_of(FULL), whole_of(*FULL)
    assert gathered(events) == whole["content"]
    assert [block["type"] for block in whole["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert whole["content"][1]["text"] == "Ab\n"
    assert [(block["id"], block["input"]) for block in whole["content"][2:]] == [("toolu_1", {"a": 1}), ("toolu_2", {})]
    last = events[-2]
    assert (last["usage"], last["delta"]["stop_reason"]) == (whole["usage"], whole["stop_reason"])


def test_hidden_thoughts_leave_a_signature():
    """With `display: omitted` a thinking block is empty, and its signature brings the thought back."""
    wanted = asked_for(shown=False)
    for blocks in (gathered(events_of(FULL, wanted=wanted)), whole_of(*FULL, wanted=wanted)["content"]):
        assert (blocks[0]["type"], blocks[0]["thinking"]) == ("thinking", "")
        assert Recall().thought("", blocks[0]["signature"]) == "hm"


def test_thoughts_nobody_asked_for_are_left_out():
    """Without thinking asked for, the first block is the answer, also of a model that cannot help thinking."""
    wanted = asked_for(thoughts=False)
    for blocks in (gathered(events_of(FULL, wanted=wanted)), whole_of(*FULL, wanted=wanted)["content"]):
        assert blocks[0]["type"] == "text"


def test_an_empty_answer_has_no_blocks():
    """Nothing said means no content, whole and streamed."""
    events = events_of((Text(text=""), DONE))
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    assert whole_of(Text(text=""), DONE)["content"] == []


def test_a_call_that_was_cut_off_is_not_given_out():
    """A whole answer holds no half of a call, and arguments that are no object are none."""
    for cut in ('{"a": ', "[1]"):
        call = ToolCall(index=0, id="call_1", name="look", arguments=cut)
        whole = whole_of(call, Done(finish="length", usage=Usage(completion=5)), wanted=asked_for(max_tokens=5))
        assert (whole["content"], whole["stop_reason"]) == ([], "max_tokens")


def test_an_engine_that_goes_back_is_an_error():
    """A piece of a call that had ended cannot be sent any more."""
    calls = (ToolCall(index=0, id="a", name="x"), ToolCall(index=1, id="b", name="x"), ToolCall(index=0, arguments="{"))
    with pytest.raises(InternalError):
        events_of(calls)


@pytest.mark.parametrize(
    ("done", "fields", "reason", "sequence"),
    [
        (Done(), {}, "end_turn", None),
        (Done(stop="END"), {"stop": ("END",)}, "stop_sequence", "END"),
        (Done(stop="<|im_end|>"), {"stop": ("END",)}, "end_turn", None),
        (Done(finish="length", usage=Usage(completion=9)), {"max_tokens": 9}, "max_tokens", None),
        (Done(finish="length", usage=Usage(completion=8)), {"max_tokens": 9}, "model_context_window_exceeded", None),
        (Done(finish="length", usage=Usage(completion=8)), {}, "model_context_window_exceeded", None),
        (Done(finish="tool_calls"), {}, "tool_use", None),
    ],
)
def test_reasons_to_stop(done, fields, reason, sequence):
    """Each end has its reason; a stop sequence is named when it is one of the request's own."""
    whole = whole_of(done, wanted=asked_for(**fields))
    assert (whole["stop_reason"], whole["stop_sequence"]) == (reason, sequence)
    assert events_of((done,), wanted=asked_for(**fields))[-2]["delta"] == {
        "stop_reason": reason,
        "stop_sequence": sequence,
    }


def test_the_kinds_of_input_add_up():
    """Tokens that the cache held are counted apart, and all inputs add up to the prompt."""
    assert whole_of(DONE)["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 7,
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 1},
    }
