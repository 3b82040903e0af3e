"""Responses of the real model: what is forced is held, and what was read once is not read again."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway import Gateway
from sse import Stream

pytestmark = [pytest.mark.real, pytest.mark.slow]

PATH = "/v1/responses"
MODEL = "smollm2-135m"
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "size": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["city", "size"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "visit", "description": "Visits a city.", "strict": True, "parameters": SCHEMA}
FREE = {
    "type": "custom",
    "name": "code",
    "description": "Takes a code.",
    "format": {"type": "grammar", "syntax": "regex", "definition": "[A-C]{2}-[0-9]{3}"},
}
TURNS = [f"Tell me something about the number {number}." for number in range(10)]


def response(running: Gateway, *, stream: bool = False, **fields):
    body = {"model": MODEL, "max_output_tokens": 200, **fields}
    if stream:
        last = list(Stream(running.port, running.key, PATH, {**body, "stream": True}).events())[-1]
        assert last["type"] == "response.completed", last
        return last["response"]
    status, answer = running.ask("POST", PATH, body)
    assert (status, answer["status"]) == (200, "completed"), answer
    return answer


def many(work, count=20):
    """The results of so many calls, four at a time; half of them streamed."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda place: work(seed=place, stream=place % 2 == 0), range(count)))


def valid(text):
    found = json.loads(text)
    return set(found) == {"city", "size"} and len(found["city"]) <= 12 and 0 <= found["size"] <= 9


def test_forced_tools_hold(real_gateway: Gateway):
    """A forced function is called with arguments that its schema takes, streamed or not, whatever the seed."""

    def one(**fields):
        choice = {"type": "function", "name": "visit"}
        return response(real_gateway, input="Where to?", tools=[TOOL], tool_choice=choice, temperature=1, **fields)

    for answer in many(one):
        (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
        assert call["name"] == "visit"
        assert valid(call["arguments"]), call


def test_forced_free_form_tools_hold(real_gateway: Gateway):
    """A forced free-form tool gets a text that its pattern takes."""

    def one(**fields):
        return response(real_gateway, input="A code.", tools=[FREE], tool_choice="required", temperature=1, **fields)

    for answer in many(one, 8):
        calls = [item for item in answer["output"] if item["type"] == "custom_tool_call"]
        assert calls
        assert all(re.fullmatch("[A-C]{2}-[0-9]{3}", call["input"]) for call in calls), calls


def test_strict_schemas_hold(real_gateway: Gateway):
    """The text is valid against the schema, streamed or not, whatever the seed."""
    form = {"format": {"type": "json_schema", "name": "visit", "strict": True, "schema": SCHEMA}}

    def one(**fields):
        return response(real_gateway, input="Where to?", text=form, temperature=1, **fields)

    for answer in many(one):
        (message,) = answer["output"]
        assert valid(message["content"][0]["text"]), message


def test_the_same_text_as_through_the_chat_api(real_gateway: Gateway):
    """At temperature 0 the same conversation gives the same text, streamed and not, as through the chat API."""
    history = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Name a colour."},
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "Another one."},
    ]
    chat = {"model": MODEL, "messages": history, "temperature": 0, "max_tokens": 24}
    _, told = real_gateway.ask("POST", "/v1/chat/completions", chat)
    text = told["choices"][0]["message"]["content"]
    for stream in (False, True):
        fields = {"model": MODEL, "temperature": 0, "max_output_tokens": 24}
        fields |= {"instructions": "Be short.", "input": history[1:]}
        if stream:
            events = Stream(real_gateway.port, real_gateway.key, PATH, {**fields, "stream": True}).events()
            answer = list(events)[-1]["response"]
        else:
            answer = real_gateway.ask("POST", PATH, fields)[1]
        assert answer["output"][0]["content"][0]["text"] == text
        assert answer["usage"]["input_tokens"] == told["usage"]["prompt_tokens"]


@pytest.mark.parametrize("way", ["previous", "conversation", "whole"])
def test_a_conversation_is_read_once(real_gateway: Gateway, way):
    """From turn to turn more than 95 % of what was read and written before comes from the cache, however it is kept."""
    known: dict = {}
    if way == "conversation":
        known["conversation"] = real_gateway.ask("POST", "/v1/conversations", {})[1]["id"]
    items, before = [], 0
    for turn in TURNS:
        items.append({"role": "user", "content": f"{way}: {turn}"})
        asked = items if way == "whole" else items[-1:]
        fields = {"model": MODEL, "input": asked, "max_output_tokens": 12, "temperature": 0, **known}
        status, answer = real_gateway.ask("POST", PATH, fields)
        assert status == 200, answer
        items += answer["output"]
        if way == "previous":
            known["previous_response_id"] = answer["id"]
        usage = answer["usage"]
        assert usage["input_tokens_details"]["cached_tokens"] >= 0.95 * before, (turn, usage, before)
        before = usage["input_tokens"]
