"""The ladder of events."""

import json

import pytest

from localai.api.responses.body import ResponseBody
from localai.api.responses.ladder import Ladder
from localai.api.responses.response import begun
from localai.api.responses.sealed import unseal
from localai.api.responses.tools import Kit, Named
from localai.core.errors import ContextLengthExceeded, EngineCrashed, InvalidRequest, RateLimited
from localai.core.event import Chosen, Done, Logprobs, Progress, Text, Thought, TokenLogprob, ToolCall, Usage
from localai.core.task import ToolChoice

NAMES = {"n__look": Named("function", "look", "n"), "patch": Named("custom", "patch")}
KIT = Kit((), ToolChoice(), NAMES)
ID = "resp_" + "0" * 32
DONE = Done(usage=Usage(prompt=3, completion=2, cached=1, thought=1))


def ladder(**options):
    body = ResponseBody.model_validate({"input": "hi", "model": "m"})
    return Ladder(begun(body, ID, "m", 5), KIT, clock=lambda: 7.0, **options)


def climbed(*batches, **options):
    made = ladder(**options)
    frames = [frame for batch in batches for frame in made.feed(batch)]
    return made, parsed(frames)


def parsed(frames):
    events = []
    for frame in frames:
        head, data, *rest = frame.split(b"\n")
        assert rest == [b"", b""]
        event = json.loads(data.removeprefix(b"data: "))
        assert head == b"event: " + event["type"].encode()
        events.append(event)
    return events


def kinds(events):
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text_climbs_the_whole_ladder():
    """A text begins, grows and ends in OpenAI's order, numbered from 0 without a gap; the end holds all of it."""
    made, events = climbed((Progress(stage="prefill", done=1, total=2),), (Text(text="to "), Text(text="be")), (DONE,))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    last = events[-1]["response"]
    assert last == made.response
    assert (last["status"], last["completed_at"], made.done) == ("completed", 7, True)
    assert last["output"][0] == events[-2]["item"]
    assert last["output"][0]["content"] == [events[-3]["part"]]
    assert last["output"][0]["content"][0]["text"] == events[-4]["text"] == "to be"
    assert last["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 5,
    }
    assert len({event["item_id"] for event in events if "item_id" in event}) == 1


def test_one_batch_says_all():
    """Also when everything comes at once nothing is lost."""
    assert kinds(climbed((Text(text="x"), DONE))[1])[-1] == "completed"


def test_waiting_says_nothing():
    """While a request waits for its model it has not begun: a failure can still be an HTTP error."""
    made, events = climbed((Progress(stage="queued"), Progress(stage="loading")))
    assert (events, made.begun, made.done) == ([], False, False)


def test_thoughts_are_an_item_of_their_own():
    """Thoughts come before the text, as text of reasoning; packed too, when that is asked for."""
    made, events = climbed((Thought(text="let "), Thought(text="me"), Text(text="ok"), DONE), sealed=True)
    assert kinds(events)[2:8] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
    ]
    reasoning, message = made.response["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "let me"}]
    assert (reasoning["summary"], unseal(reasoning["encrypted_content"])) == ([], "let me")
    assert message["type"] == "message"
    assert "encrypted_content" not in climbed((Thought(text="x"), DONE))[0].response["output"][0]


def test_thoughts_are_the_summary_when_one_is_asked_for():
    """With a summary asked for, the thoughts climb the ladder of summaries."""
    made, events = climbed((Thought(text="let me"), Text(text="ok"), DONE), summary=True)
    assert kinds(events)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert made.response["output"][0]["summary"] == [{"type": "summary_text", "text": "let me"}]
    assert {event["summary_index"] for event in events if "summary_index" in event} == {0}


def test_calls_say_what_the_client_knows_them_by():
    """A call has the client's name and namespace; its pieces of arguments add up to the whole."""
    made, events = climbed(
        (ToolCall(index=0, id="c1", name="n__look"), ToolCall(index=0, arguments='{"x"')),
        (ToolCall(index=0, arguments=":1}"), Done(finish="tool_calls")),
    )
    assert kinds(events)[2:7] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    (call,) = made.response["output"]
    assert (call["name"], call["namespace"], call["call_id"]) == ("look", "n", "c1")
    assert call["arguments"] == '{"x":1}' == "".join(e["delta"] for e in events if "delta" in e)
    assert (call["status"], made.response["status"]) == ("completed", "completed")


def test_calls_that_grow_side_by_side_lose_nothing():
    """Pieces of several calls may come in any order."""
    made, events = climbed(
        (
            Text(text="I look."),
            ToolCall(index=0, id="a", name="n__look", arguments="{"),
            ToolCall(index=1, id="b", name="unknown", arguments="["),
            ToolCall(index=0, arguments="}"),
            ToolCall(index=1, arguments="]"),
            DONE,
        )
    )
    _, first, second = made.response["output"]
    assert (first["arguments"], second["arguments"], second["name"]) == ("{}", "[]", "unknown")
    assert "namespace" not in second
    done = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert done == [0, 1, 2]


def test_free_form_calls_climb_their_own_ladder():
    """A custom tool's input streams as text, out of the JSON that the model wrote."""
    made, events = climbed(
        (
            ToolCall(index=0, id="c", name="patch", arguments='{"input": "a'),
            ToolCall(index=0, arguments='\\nb"}'),
            DONE,
        )
    )
    assert kinds(events)[2:7] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    (call,) = made.response["output"]
    assert (call["type"], call["input"], events[5]["input"]) == ("custom_tool_call", "a\nb", "a\nb")
    assert "arguments" not in call


def token(text):
    one = TokenLogprob(id=1, token=text, logprob=-0.5, data=text.encode())
    return Logprobs(tokens=(Chosen(token=one, top=(one,)),))


def test_log_probabilities_come_with_their_text():
    """Each piece waits for its log-probabilities; the end has all of them, also of a piece that has none."""
    made, events = climbed(
        (Text(text="a"), token("a"), Text(text="b"), Text(text="c"), token("c"), DONE), logprobs=True
    )
    deltas = [(event["delta"], len(event["logprobs"])) for event in events if "delta" in event]
    assert deltas == [("a", 1), ("b", 0), ("c", 1)]
    part = made.response["output"][0]["content"][0]
    assert [entry["token"] for entry in part["logprobs"]] == ["a", "c"]
    assert part["logprobs"][0]["top_logprobs"][0]["bytes"] == [97]
    assert climbed((Thought(text="x"), token("x"), DONE), logprobs=True)[0].done


def test_an_answer_that_is_cut_is_incomplete():
    """What ran into the limit says so, in the response and in the item that was open."""
    made, events = climbed((Thought(text="a"), Text(text="half"), Done(finish="length")))
    assert kinds(events)[-1] == "incomplete"
    assert made.response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in made.response["output"]] == ["completed", "incomplete"]
    assert made.response["completed_at"] is None


def test_an_empty_answer_is_an_empty_message():
    """A model that says nothing gives a message without words, so that clients find one."""
    made, _ = climbed((DONE,))
    assert made.response["output"][0]["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineCrashed(), "server_error"),
        (ContextLengthExceeded(), "context_length_exceeded"),
        (RateLimited(), "rate_limit_exceeded"),
        (InvalidRequest(), "invalid_prompt"),
    ],
)
def test_a_failure_is_told(error, code):
    """A response that fails ends with its error, under a code that clients know; what came before stays."""
    made, _ = climbed((Text(text="half"),))
    events = parsed(made.fail(error))
    assert kinds(events) == ["output_text.done", "content_part.done", "output_item.done", "failed"]
    assert events[-1]["response"]["error"]["code"] == code
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"
    assert kinds(parsed(ladder().fail(error))) == ["created", "in_progress", "failed"]


def test_a_background_response_is_queued_first():
    """What waits in the background says that; then it goes on as ever, and may be cancelled."""
    made = ladder()
    events = parsed(made.queue())
    assert (kinds(events), made.response["status"]) == (["created", "queued"], "queued")
    events = parsed(made.feed((Text(text="a"),)))
    assert (kinds(events)[0], events[0]["sequence_number"], made.response["status"]) == (
        "in_progress",
        2,
        "in_progress",
    )
    assert made.response["output"][0]["status"] == "in_progress"
    events = parsed(made.cancel())
    assert (kinds(events)[-1], events[-1]["response"]["status"]) == ("incomplete", "cancelled")
