"""The lines of an answer, its figures, and the ids that a conversation goes on from."""

import json
from datetime import datetime

import pytest

from echoing import FakePerform, echo
from localai.api.merge import merge
from localai.api.ollama.chat import Asked
from localai.api.ollama.clock import Clock, stamp
from localai.api.ollama.lines import Lines, stream, whole
from localai.api.ollama.pieces import Form
from localai.api.ollama.turns import Turns
from localai.core.caller import LOCAL
from localai.core.errors import InternalError
from localai.core.event import (
    Chosen,
    Done,
    Logprobs,
    Progress,
    Text,
    Thought,
    Timings,
    TokenLogprob,
    Tokens,
    ToolCall,
    Usage,
)
from localai.core.task import Chat, Generate, Ids, Message, Raw, Render, TextPart

CHAT, GENERATE = Form("chat", "m"), Form("generate", "m")
DONE = Done(usage=Usage(prompt=3, completion=2), timings=Timings(prompt=0.5, generate=0.25))
TOKEN = Chosen(token=TokenLogprob(id=1, token="a", logprob=-0.5), top=())


async def given(*events):
    for event in events:
        yield (event,)


def seconds(*values):
    """A clock that shows these times one after another, the last for ever."""
    left = list(values)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


async def streamed(form, *events, logprobs=False):
    found = b""
    async for data in stream(merge([given(*events)]), Lines(form, logprobs=logprobs), Clock(), None):
        found += data
    return [json.loads(line) for line in found.splitlines()]


async def gathered(form, *events, logprobs=False):
    return await whole(merge([given(*events)]), form, Clock(), None, logprobs=logprobs)


async def test_lines_of_a_chat():
    """Each piece is a message that is not done; the last line is empty, done, and has the figures."""
    lines = await streamed(CHAT, Progress(stage="prefill", done=3, total=3), Thought(text="hm"), Text(text="a"), DONE)
    assert [line["message"] for line in lines] == [
        {"role": "assistant", "content": "", "thinking": "hm"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": ""},
    ]
    assert [line["done"] for line in lines] == [False, False, True]
    assert {line["model"] for line in lines} == {"m"}
    assert all(datetime.fromisoformat(line["created_at"]).tzinfo for line in lines)
    last = lines[-1]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 3, 2)
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (500_000_000, 250_000_000)


async def test_lines_of_a_generation():
    """A generation's pieces are responses, with its thoughts beside them."""
    lines = await streamed(GENERATE, Thought(text="hm"), Text(text="a"), DONE)
    assert [(line["response"], line.get("thinking")) for line in lines] == [("", "hm"), ("a", None), ("", None)]


async def test_a_whole_answer():
    """The whole answer is one object with all of it."""
    answer = await gathered(CHAT, Thought(text="h"), Thought(text="m"), Text(text="a"), Text(text="b"), DONE)
    assert answer["message"] == {"role": "assistant", "content": "ab", "thinking": "hm"}
    assert (answer["done"], answer["done_reason"], answer["eval_count"]) == (True, "stop", 2)
    answer = await gathered(GENERATE, Text(text="a"), Done(finish="length"))
    assert (answer["response"], answer["done_reason"]) == ("a", "length")


CALLS = (
    ToolCall(index=0, id="c1", name="look", arguments='{"a":'),
    ToolCall(index=0, arguments="1}"),
    ToolCall(index=1, id="c2", name="hear", arguments=""),
    Done(finish="tool_calls"),
)
MADE = [
    {"id": "c1", "function": {"index": 0, "name": "look", "arguments": {"a": 1}}},
    {"id": "c2", "function": {"index": 1, "name": "hear", "arguments": {}}},
]


async def test_calls_come_whole():
    """Each tool call is one line with an object of arguments, also when its pieces came apart."""
    lines = await streamed(CHAT, *CALLS)
    assert [line["message"].get("tool_calls") for line in lines] == [[MADE[0]], [MADE[1]], None]
    assert lines[-1]["done_reason"] == "stop"
    assert (await gathered(CHAT, *CALLS))["message"]["tool_calls"] == MADE


async def test_a_call_that_was_cut_is_left_out():
    """A call whose arguments were cut by the limit is not shown as if it were whole; the reason says `length`."""
    cut = (CALLS[0], Done(finish="length"))
    lines = await streamed(CHAT, *cut)
    assert [line["message"].get("tool_calls") for line in lines] == [None]
    assert lines[-1]["done_reason"] == "length"
    assert "tool_calls" not in (await gathered(CHAT, *cut))["message"]


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", "null"])
async def test_a_call_that_makes_no_sense_is_an_error(arguments):
    """Arguments that are no object, though nothing was cut, are a failure of the engine."""
    events = (ToolCall(index=0, id="c", name="look", arguments=arguments), DONE)
    with pytest.raises(InternalError):
        await streamed(CHAT, *events)
    with pytest.raises(InternalError):
        await gathered(CHAT, *events)


async def test_logprobs_go_with_their_text():
    """Each piece has the log-probabilities of its tokens; a piece without any waits for none."""
    events = (Text(text="a"), Logprobs(tokens=(TOKEN,)), Text(text="b"), Text(text="c"), DONE)
    lines = await streamed(CHAT, *events, logprobs=True)
    assert [(line["message"]["content"], len(line.get("logprobs", ()))) for line in lines] == [
        ("a", 1),
        ("b", 0),
        ("c", 0),
        ("", 0),
    ]
    entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    assert lines[0]["logprobs"] == [entry]
    assert (await gathered(CHAT, *events, logprobs=True))["logprobs"] == [entry]


async def test_an_answer_without_an_end_is_an_error():
    """An engine that stops without a word is a failure, not an answer."""
    with pytest.raises(InternalError):
        await streamed(CHAT, Text(text="a"))
    with pytest.raises(InternalError):
        await gathered(CHAT, Text(text="a"))


def test_times():
    """Loading counts from when it began until the prompt is read, and what the engine did not measure is our own."""
    clock = Clock(seconds(0, 1, 3, 4, 10))
    clock.hear((Progress(stage="queued"),))
    clock.hear((Progress(stage="loading"),))
    clock.hear((Progress(stage="prefill", done=1, total=2),))
    clock.hear((Progress(stage="prefill", done=2, total=2),))
    clock.hear((Text(text="a"),))
    figures = clock.fields(Done(usage=Usage(prompt=2, completion=1)))
    assert figures == {
        "total_duration": 10 * 10**9,
        "load_duration": 2 * 10**9,
        "prompt_eval_count": 2,
        "prompt_eval_duration": 1 * 10**9,
        "eval_count": 1,
        "eval_duration": 6 * 10**9,
    }


def test_no_time_is_zero():
    """No duration is zero, for clients divide by them."""
    figures = Clock(lambda: 5.0).fields(Done())
    assert min(value for name, value in figures.items() if name.endswith("duration")) == 1


def test_stamps_are_read_by_every_python():
    """A time has its offset written out, which all versions of Python read."""
    assert stamp(0) == "1970-01-01T00:00:00+00:00"


ASKED = Asked(task=Generate(prompt=Raw(text="")), logprobs=False, keep_alive=None, room=None)
PROMPT = Chat(messages=(Message(role="user", content=(TextPart(text="Hi"),)),))


async def test_ids_of_a_conversation():
    """The ids after an answer are those of the prompt as written and of the answer; the next turn begins there."""
    perform = FakePerform(echo())
    first = Turns(perform, LOCAL, "echo", ASKED, PROMPT, ())
    assert await first.prompt() is PROMPT
    context = (await first.ending("answer"))["context"]
    assert context == [len('["user",'), len(' "Hi"]answer')]
    second = Turns(perform, LOCAL, "echo", ASKED, PROMPT, tuple(context))
    assert await second.prompt() == Ids(ids=(*context, 8, 6))
    assert (await second.ending("x"))["context"] == [*context, 8, 7]
    assert sum(isinstance(task, Render) for task in perform.asked) == 2


class Starting(FakePerform):
    """Puts the token 1 before every text, as many models do; the text "<s>" is that token too."""

    async def stream(self, caller, model, task, **given):
        text = task.text.replace("<s>", "\x01")
        yield (Tokens(ids=(1, *(ord(letter) for letter in text))), Done())


@pytest.mark.parametrize("text", ["ab", "<s>ab"])
async def test_the_token_that_begins_is_there_once(text):
    """What the model puts before every text is once at the beginning of a conversation, and not within it."""
    perform = Starting(echo())
    turns = Turns(perform, LOCAL, "echo", ASKED, Raw(text=text), ())
    context = (await turns.ending("c"))["context"]
    assert context == [1, *map(ord, "abc")]
    later = Turns(perform, LOCAL, "echo", ASKED, Raw(text="d"), tuple(context))
    assert await later.prompt() == Ids(ids=(1, *map(ord, "abcd")))
