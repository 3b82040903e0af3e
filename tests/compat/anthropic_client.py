"""The real `anthropic` library against a running server; run inside an environment that has nothing else.

ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY: where and as whom. COMPAT_MODEL: a model for chat.
COMPAT_FAULTS=1: the server also has the models `busy-once`, `full`, `broken`, `dies` and `thinks`.
Prints `ok NAME` for every check; ends with an exception at the first that fails.
"""

import asyncio
import os
import time
from typing import Annotated

import anthropic
import pydantic

MODEL = os.environ["COMPAT_MODEL"]
FAULTS = os.environ.get("COMPAT_FAULTS") == "1"
HI = [{"role": "user", "content": "What is the capital of France?"}]
CITY = [{"role": "user", "content": '{"city": "Paris", "size": 2}'}]
COLD = {"temperature": 0, "seed": 1}
SEEN = {"max_tokens": 24, "extra_body": COLD}
ROOMY = {"max_tokens": 300, "extra_body": COLD}


class City(pydantic.BaseModel):
    """What the schema checks ask for."""

    city: Annotated[str, pydantic.Field(max_length=12)]
    size: Annotated[int, pydantic.Field(ge=0, le=99)]


def tool(name):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "additionalProperties": False,
    }
    return {"name": name, "description": f"{name} of a city", "input_schema": schema}


TOOLS = [tool("weather"), tool("population")]


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def prompt_of(usage):
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


def check_models(client):
    """The list holds the model, page by page, and it can be retrieved."""
    names = [model.id for model in client.models.list(limit=1)]
    assert MODEL in names, names
    found = client.models.retrieve(MODEL)
    assert (found.id, found.type, found.lifecycle) == (MODEL, "model", "active")
    assert found.created_at.year > 2000


def check_message(client):
    """A whole answer has text, a reason and counts."""
    answer = client.messages.create(model=MODEL, messages=HI, **SEEN)
    assert (answer.model, answer.type, answer.role) == (MODEL, "message", "assistant")
    assert answer.id.startswith("msg_")
    assert text_of(answer)
    assert answer.stop_reason in {"end_turn", "max_tokens"}
    assert answer.usage.output_tokens > 0 < prompt_of(answer.usage)


def check_stream(client):
    """A stream opens, grows and closes block by block and tells the size of the prompt in its first event."""
    events = list(client.messages.create(model=MODEL, messages=HI, stream=True, **SEEN))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[1]) == ("message_start", "content_block_start")
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    start, end = events[0].message.usage, events[-2].usage
    assert prompt_of(start) == prompt_of(end) > 0
    assert end.output_tokens > 0
    assert events[-2].delta.stop_reason in {"end_turn", "max_tokens"}


def check_stream_helper(client):
    """The library's own accumulating stream gives what a whole answer is."""
    client.messages.create(model=MODEL, messages=HI, **SEEN)
    whole = client.messages.create(model=MODEL, messages=HI, **SEEN)
    with client.messages.stream(model=MODEL, messages=HI, **SEEN) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert said == text_of(final) == text_of(whole)
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert prompt_of(final.usage) == prompt_of(whole.usage)


def calls_of(client, choice, **more):
    answer = client.messages.create(model=MODEL, messages=HI, tools=TOOLS, tool_choice=choice, **ROOMY, **more)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert all(isinstance(call.input, dict) and call.id for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    return answer, [call.name for call in calls]


def check_tools_auto(client):
    """With `auto` the answer is text or calls of these tools."""
    answer, names = calls_of(client, {"type": "auto"})
    assert set(names) <= {"weather", "population"}
    assert text_of(answer) or names


def check_tools_any(client):
    """With `any` there is a call, whatever the model, and just one when told so."""
    answer, names = calls_of(client, {"type": "any", "disable_parallel_tool_use": True})
    assert len(names) == 1
    assert answer.stop_reason == "tool_use"
    assert not text_of(answer)


def check_tools_named(client):
    """A named tool is the one that is called."""
    _, names = calls_of(client, {"type": "tool", "name": "population"})
    assert set(names) == {"population"}


def check_tools_none(client):
    """With `none` nothing is called."""
    answer, names = calls_of(client, {"type": "none"})
    assert (names, bool(text_of(answer))) == ([], True)


def check_tools_stream(client):
    """A streamed call comes out of the library's stream as a whole one."""
    with client.messages.stream(
        model=MODEL, messages=HI, tools=TOOLS, tool_choice={"type": "tool", "name": "weather"}, **ROOMY
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert {"message_start", "content_block_start", "content_block_stop", "message_stop"} <= kinds, kinds
    (call,) = [block for block in final.content if block.type == "tool_use"]
    assert call.name == "weather" and isinstance(call.input, dict)
    assert final.stop_reason == "tool_use"


def check_tools_history(client):
    """A conversation with a call and its result goes on, and a failed one does too."""
    for failed in (False, True):
        history = [
            *HI,
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I shall look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "sunny"}],
                        "is_error": failed,
                    }
                ],
            },
        ]
        assert client.messages.create(model=MODEL, messages=history, tools=TOOLS, **SEEN).stop_reason


def check_prefill(client):
    """An assistant's last message is the beginning of the answer, which does not repeat it."""
    begun = [*HI, {"role": "assistant", "content": "The capital of France is"}]
    answer = client.messages.create(model=MODEL, messages=begun, **SEEN)
    if MODEL != "echo":  # the echo engine says the last message, whoever wrote it
        assert not text_of(answer).startswith("The capital")


def check_schema(client):
    """A format gives JSON that is valid against its schema."""
    schema = {**City.model_json_schema(), "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": schema}}
    answer = client.messages.create(model=MODEL, messages=CITY, output_config=form, **ROOMY)
    City.model_validate_json(text_of(answer))


def check_parse(client):
    """`parse` fills a pydantic model."""
    answer = client.messages.parse(model=MODEL, messages=CITY, output_format=City, **ROOMY)
    assert isinstance(answer.parsed_output, City)


def check_beta(client):
    """The beta routes of the library (`?beta=true`) are the same."""
    answer = client.beta.messages.create(model=MODEL, messages=HI, betas=["context-management-2025-06-27"], **SEEN)
    assert text_of(answer)


def check_count_tokens(client):
    """The count is the size of the prompt that the same request has, with tools and without."""
    for more in ({}, {"tools": TOOLS}, {"system": [{"type": "text", "text": "Be brief."}]}):
        counted = client.messages.count_tokens(model=MODEL, messages=HI, **more)
        answer = client.messages.create(model=MODEL, messages=HI, **SEEN, **more)
        assert counted.input_tokens > 0
        if MODEL != "echo":  # the echo engine reads the last message only
            assert counted.input_tokens == prompt_of(answer.usage)


def failing(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def check_errors(client):
    """Errors become the library's own exceptions, with their type and the request's id."""
    stranger = client.with_options(api_key="sk-wrong", max_retries=0)
    error = failing(anthropic.AuthenticationError, stranger.models.list)
    assert error.type == "authentication_error"
    create = client.messages.create
    for streamed in (False, True):
        error = failing(
            anthropic.NotFoundError,
            lambda: create(model="no-such-model", messages=HI, stream=streamed, **SEEN),  # noqa: B023 - called at once
        )
        assert error.type == "not_found_error"
        assert error.request_id and error.request_id == error.body["request_id"]
    error = failing(anthropic.BadRequestError, lambda: create(model=MODEL, messages=HI, max_tokens=-1))
    assert "max_tokens" in error.body["error"]["message"]
    long = [{"role": "user", "content": "very long " * 40000}]
    for streamed in (False, True):
        error = failing(
            anthropic.BadRequestError,
            lambda: create(model=MODEL, messages=long, stream=streamed, **SEEN),  # noqa: B023 - called at once
        )
        assert error.type == "invalid_request_error"


def check_faults(client):
    """A busy server is asked again after its own delay; what cannot help is not; a broken stream raises."""
    began = time.monotonic()
    raw = client.messages.with_raw_response.create(model="busy-once", messages=HI, **SEEN)
    assert raw.retries_taken == 1
    assert time.monotonic() - began >= 0.2
    never = client.with_options(max_retries=0)
    error = failing(anthropic.APIStatusError, lambda: never.messages.create(model="full", messages=HI, **SEEN))
    assert (error.status_code, error.type) == (529, "overloaded_error")
    error = failing(anthropic.InternalServerError, lambda: client.messages.create(model="broken", messages=HI, **SEEN))
    assert error.response.request.headers["x-stainless-retry-count"] == "0"
    events = []
    stream = client.messages.create(model="dies", messages=HI, stream=True, **SEEN)
    error = failing(anthropic.APIStatusError, lambda: events.extend(stream))
    assert error.body["error"]["type"] == "api_error"
    assert "message_stop" not in {event.type for event in events}


def check_thinking(client):
    """Thoughts are blocks of their own with a signature, and go back as they came."""
    asked = {"model": "thinks" if FAULTS else MODEL, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    with client.messages.stream(messages=HI, max_tokens=2000, **asked) as stream:
        final = stream.get_final_message()
    if FAULTS:
        assert [block.type for block in final.content] == ["thinking", "text"]
        assert final.content[0].thinking and final.content[0].signature
    history = [*HI, {"role": "assistant", "content": final.content}, *HI]
    assert client.messages.create(messages=history, max_tokens=2000, **asked).stop_reason


def check_batches(client):
    """A batch is made, followed, read result by result, listed and deleted."""
    params = {"model": MODEL, "messages": HI, "max_tokens": 8}
    requests = [{"custom_id": f"n{number}", "params": params} for number in range(3)]
    batch = client.messages.batches.create(requests=requests)
    deadline = time.monotonic() + 120
    while client.messages.batches.retrieve(batch.id).processing_status != "ended":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
    assert sorted(found) == ["n0", "n1", "n2"]
    assert all(text_of(result.message) for result in found.values())
    assert batch.id in [each.id for each in client.messages.batches.list(limit=1)]
    failing(anthropic.ConflictError, lambda: client.messages.batches.cancel(batch.id))
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    failing(anthropic.NotFoundError, lambda: client.messages.batches.retrieve(batch.id))


def check_leaving(client):
    """Leaving a stream leaves the server able to answer."""
    long = [{"role": "user", "content": "Count slowly: " + "one " * 500}]
    with client.messages.create(model=MODEL, messages=long, stream=True, max_tokens=2000) as stream:
        next(iter(stream))
    check_message(client)


def check_raw(client):
    """Every answer carries its request id."""
    raw = client.messages.with_raw_response.create(model=MODEL, messages=HI, **SEEN)
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.parse()._request_id == raw.headers["request-id"]


async def check_async():
    """The asynchronous client answers whole and streamed, many at a time."""
    async with anthropic.AsyncAnthropic() as client:

        async def one():
            async with client.messages.stream(model=MODEL, messages=HI, **SEEN) as stream:
                return "".join([piece async for piece in stream.text_stream])

        whole = await client.messages.create(model=MODEL, messages=HI, **SEEN)
        texts = await asyncio.gather(one(), one(), one(), one())
        assert all(texts)
        assert text_of(whole)


def main():
    """Run every check."""
    client = anthropic.Anthropic()
    for name, check in list(globals().items()):
        if name.startswith("check_") and name not in ("check_async", "check_batches" if FAULTS else "check_faults"):
            check(client)
            print("ok", name.removeprefix("check_"), flush=True)
    asyncio.run(check_async())
    print("ok async", flush=True)


main()
