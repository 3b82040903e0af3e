"""The Anthropic dialect on the real model: forced calls, schemas, exact counts, a cache that holds."""

import json

import jsonschema
import pytest

import claudecode
from gateway import Gateway
from sse import Stream, text

pytestmark = [pytest.mark.real, pytest.mark.slow]
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
MODEL = "smollm2-135m"
HI = [{"role": "user", "content": "Name three colours."}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": "weather", "description": "The weather of a city.", "input_schema": CITY},
    {"name": "train", "description": "A train to a city.", "input_schema": CITY},
    {"type": "web_search_20250305", "name": "web_search"},
]


def whole_message(running: Gateway, **fields) -> dict:
    status, answer = running.ask("POST", MESSAGES, {"model": MODEL, "temperature": 0, "max_tokens": 200, **fields})
    assert status == 200, answer
    return answer


def streamed_message(running: Gateway, **fields) -> dict:
    """What a stream adds up to, put together as a client does."""
    body = {"model": MODEL, "temperature": 0, "max_tokens": 200, "stream": True, **fields}
    message: dict = {}
    for event in Stream(running.port, running.key, MESSAGES, body).events():
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"] | {"partial": ""})
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                name = "text" if delta["type"] == "text_delta" else "partial"
                block[name] += delta.get("text") or delta.get("partial_json") or ""
            case "message_delta":
                message["started"] = message["usage"]
                message |= {**event["delta"], "usage": event["usage"]}
    for block in message["content"]:
        partial = block.pop("partial")
        if block["type"] == "tool_use":
            block["input"] = json.loads(partial)
    return message


def prompt_size(usage: dict) -> int:
    return usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]


@pytest.mark.parametrize("asked", [whole_message, streamed_message])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "train"}])
def test_a_forced_call_holds(real_gateway: Gateway, asked, choice: dict):
    """A required call is made and its input is valid, whole and streamed, ten times out of ten."""
    for seed in range(10):
        message = asked(
            real_gateway, messages=HI, tools=TOOLS, tool_choice=choice, temperature=1, seed=seed, max_tokens=400
        )
        assert message["stop_reason"] == "tool_use"
        for block in message["content"]:
            assert block["type"] == "tool_use"
            assert block["name"] in ({choice["name"]} if "name" in choice else {"weather", "train"})
            jsonschema.validate(block["input"], CITY)


@pytest.mark.parametrize("asked", [whole_message, streamed_message])
def test_a_schema_holds(real_gateway: Gateway, asked):
    """An answer with a format is valid against its schema, whole and streamed."""
    for seed in range(5):
        message = asked(
            real_gateway,
            messages=HI,
            temperature=1,
            seed=seed,
            output_config={"format": {"type": "json_schema", "schema": CITY}},
        )
        told = message["content"][0]["text"]
        assert jsonschema.Draft202012Validator(CITY).is_valid(json.loads(told)), told


def test_the_text_is_that_of_the_other_dialect(real_gateway: Gateway):
    """At temperature 0 the same conversation has the same text as in OpenAI's dialect, whole and streamed."""
    system, question = "Answer in one sentence.", "What do bees make?"
    fields = {"temperature": 0, "max_tokens": 40}
    body = {"model": MODEL, "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}]}
    real_gateway.ask("POST", "/v1/chat/completions", {**body, **fields})
    chat = real_gateway.ask("POST", "/v1/chat/completions", {**body, **fields})[1]
    said = chat["choices"][0]["message"]["content"]
    assert said
    path = "/v1/chat/completions"
    stream = Stream(real_gateway.port, real_gateway.key, path, {**body, **fields, "stream": True})
    assert text(list(stream.events())) == said
    for asked in (whole_message, streamed_message):
        message = asked(real_gateway, system=system, messages=[{"role": "user", "content": question}], **fields)
        assert message["content"][0]["text"] == said
        assert prompt_size(message["usage"]) == chat["usage"]["prompt_tokens"]


HISTORY = [
    *HI,
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Zürich", "days": 2}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "no", "is_error": True}]},
]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."}]},
        {"tools": TOOLS},
        {"tools": TOOLS, "tool_choice": {"type": "any"}},
        {"tools": TOOLS, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": TOOLS, "tool_choice": {"type": "none"}},
        {"tools": TOOLS, "messages": HISTORY},
        {"tools": TOOLS, "output_config": {"format": {"type": "json_schema", "schema": CITY}}},
        {"messages": [*HI, {"role": "assistant", "content": "Red,"}]},
        {"messages": [*HI, {"role": "system", "content": "In French."}]},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ],
)
def test_a_count_is_exact(real_gateway: Gateway, fields: dict):
    """The count is the size of the prompt of the same request, which a stream tells in its first event too."""
    status, counted = real_gateway.ask("POST", COUNT, {"model": MODEL, "messages": HI, **fields})
    assert status == 200
    message = streamed_message(real_gateway, **{"messages": HI, "max_tokens": 2, **fields})
    assert counted["input_tokens"] == prompt_size(message["usage"]) == prompt_size(message["started"]) > 10


def test_more_tokens_than_fit_are_no_error(real_gateway: Gateway):
    """A limit beyond the context is what is left of it."""
    assert whole_message(real_gateway, messages=HI, max_tokens=10**9)["stop_reason"] in {
        "end_turn",
        "model_context_window_exceeded",
    }


def test_a_stop_sequence_ends_the_text(real_gateway: Gateway):
    """The text ends before a stop sequence, which is named."""
    whole_message(real_gateway, messages=HI, max_tokens=40)
    text_before = whole_message(real_gateway, messages=HI, max_tokens=40)["content"][0]["text"]
    stop = text_before[12:18]
    message = whole_message(real_gateway, messages=HI, max_tokens=40, stop_sequences=["never said", stop])
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", stop)
    assert message["content"][0]["text"] == text_before.partition(stop)[0]


def test_the_cache_holds_from_turn_to_turn(real_gateway: Gateway):
    """Over ten turns of an agent, whose billing header changes each time, the prompt before is read from the cache."""
    messages = claudecode.opening("Look at the files.")
    before = 0
    for turn in range(10):
        body = claudecode.request(MODEL, messages, tools=2, size=200)
        message = whole_message(real_gateway, **{**body, "stream": False, "max_tokens": 4})
        usage = message["usage"]
        assert usage["cache_read_input_tokens"] >= 0.95 * before
        before = prompt_size(usage)
        messages += claudecode.called(turn)
    assert before > 700


def test_the_cache_holds_over_calls_of_the_model(real_gateway: Gateway):
    """A history that grows by the model's own calls and their results is read from the cache each time."""
    messages = [{"role": "user", "content": "A train to Rome for two days, please."}]
    fields = {"tools": TOOLS, "system": "You plan travels.", "tool_choice": {"type": "any"}}
    before = 0
    for turn in range(6):
        message = whole_message(real_gateway, messages=messages, max_tokens=200, temperature=1, seed=turn, **fields)
        usage = message["usage"]
        assert usage["cache_read_input_tokens"] >= 0.95 * before
        before = prompt_size(usage)
        messages.append({"role": "assistant", "content": message["content"]})
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        assert calls
        messages.append(
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in calls],
            }
        )
    assert before > 300


def test_a_prompt_beyond_the_context_is_told(real_gateway: Gateway):
    """A prompt that does not fit is a 400 in Anthropic's shape, never cut."""
    for streamed in (False, True):
        body = {"model": MODEL, "stream": streamed, "messages": [{"role": "user", "content": "word " * 5000}]}
        status, answer = real_gateway.ask("POST", MESSAGES, body)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert "2048" in answer["error"]["message"]
