"""The body of a request for a response, and the response that begins with it."""

import json

import pytest
from pydantic import ValidationError

from localai.api.body import parse
from localai.api.responses.body import Context, ResponseBody
from localai.api.responses.response import begun, lost
from localai.core.errors import InvalidRequest
from localai.core.task import AnyJson, FreeText, Schema


def body(**fields):
    return ResponseBody.model_validate({"input": "hi", **fields})


def test_formats():
    """The format of the text is a constraint of the engine."""
    schema = {"type": "object"}
    assert body().format() == body(text={"format": {"type": "text"}}).format() == FreeText()
    assert body(text={"verbosity": "low"}).format() == FreeText()
    assert body(text={"format": {"type": "json_object"}}).format() == AnyJson()
    named = {"format": {"type": "json_schema", "name": "city", "schema": schema, "strict": True}}
    assert body(text=named).format() == Schema(schema=schema, name="city")
    with pytest.raises(InvalidRequest) as caught:
        body(text={"format": {"type": "json_schema", "name": "city"}}).format()
    assert caught.value.param == "text.format.schema"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True, "store": False}, "store"),
        ({"n": 2}, "n"),
        ({"previous_response_id": "a", "conversation": "b"}, "previous_response_id"),
    ],
)
def test_what_cannot_be_done_is_refused(fields, param):
    """What this server has not, and what does not go together, is refused by its field."""
    with pytest.raises(InvalidRequest) as caught:
        body(**fields).check()
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": [{"role": "user", "content": 5}]}, "input.0.content"),
        ({"tools": [{"type": "function", "name": 5}]}, "tools.0.name"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(place): "x" for place in range(17)}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"store": "yes"}, "store"),
        ({"stream": 1}, "stream"),
        ({"background": "no"}, "background"),
        ({"truncation": "sometimes"}, "truncation"),
        ({"reasoning": {"effort": "gigantic"}}, "reasoning.effort"),
        ({"reasoning": "high"}, "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"verbosity": "chatty"}}, "text.verbosity"),
        ({"include": "x"}, "include"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"conversation": 7}, "conversation"),
        ({"conversation": {}}, "conversation.id"),
        ({"instructions": ["x"]}, "instructions"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ],
)
def test_a_wrong_type_is_refused_by_name(fields, param):
    """A known field of a wrong type or out of its range is a 400 that names it."""
    with pytest.raises(InvalidRequest) as caught:
        parse(json.dumps({"input": "hi", **fields}).encode(), ResponseBody)
    assert caught.value.param == param


def test_unknown_fields_are_counted_and_dropped():
    """A field of tomorrow changes nothing."""
    _, unknown = parse(b'{"input": "hi", "telepathy": true, "client_metadata": {"a": 1}}', ResponseBody)
    assert unknown == 1


def test_null_is_nothing():
    """A field that is null is one that is not there."""
    names = set(ResponseBody.model_fields) - {"input"}
    assert ResponseBody.model_validate({"input": "hi", **dict.fromkeys(names)}) == body()
    assert Context.model_validate({"input": None}).input is None


def test_log_probabilities_are_asked_for_in_two_ways():
    """By `include`, by a number of alternatives, or both."""
    include = ["message.output_text.logprobs"]
    asked = [body(), body(top_logprobs=0), body(top_logprobs=2), body(include=include)]
    assert [each.logprobs() for each in asked] == [None, None, 2, 0]


def test_limits_and_summaries():
    """The older names of fields count as well."""
    assert (body(max_output_tokens=5).limit(), body(max_tokens=6).limit(), body().limit()) == (5, 6, None)
    asked = [{"summary": "auto"}, {"generate_summary": "concise"}, {"summary": "none"}, {}]
    assert [body(reasoning=each).summary() for each in asked] == ["auto", "concise", None, None]


def test_a_response_tells_what_was_asked():
    """The response repeats the fields of its request."""
    asked = {
        "instructions": "i",
        "metadata": {"a": "b"},
        "tools": [{"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "tools": []},
        "temperature": 0.5,
        "reasoning": {"effort": "low", "summary": "auto"},
        "conversation": "conv_1",
        "store": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    }
    told = begun(body(**asked), "resp_1", "m", 5)
    for name in ("instructions", "metadata", "tools", "tool_choice", "temperature", "reasoning", "store"):
        assert told[name] == asked[name]
    assert told["conversation"] == {"id": "conv_1"}
    assert told["text"]["format"] == {"type": "json_schema", "name": "n", "description": None, "schema": {}} | {
        "strict": True
    }
    assert lost(told)["error"]["code"] == "server_error"


def test_a_body_without_input_is_one():
    """The input may come from a conversation alone; a wrong one is still refused."""
    assert ResponseBody.model_validate({}).input is None
    with pytest.raises(ValidationError):
        ResponseBody.model_validate({"input": {}})
