"""The real `openai` library against a running server; run inside an environment that has nothing else.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat; COMPAT_EMBED: one for embeddings.
COMPAT_FAULTS=1: the server also has the models `busy-once`, `broken` and `dies`, which fail in their own ways.
Prints `ok NAME` for every check; ends with an exception at the first that fails.
"""

import asyncio
import json
import math
import os
import time
from typing import Annotated

import openai
import pydantic

MODEL = os.environ["COMPAT_MODEL"]
EMBED = os.environ.get("COMPAT_EMBED", MODEL)
FAULTS = os.environ.get("COMPAT_FAULTS") == "1"
HI = [{"role": "user", "content": "What is the capital of France?"}]
CITY = [{"role": "user", "content": '{"city": "Paris", "size": 2}'}]
SEEN = {"temperature": 0, "seed": 1, "max_tokens": 24}
ROOMY = {**SEEN, "max_tokens": 300}


class City(pydantic.BaseModel):
    """What the schema checks ask for."""

    city: Annotated[str, pydantic.Field(max_length=12)]
    size: Annotated[int, pydantic.Field(ge=0, le=99)]


def tool(name):
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": f"{name} of a city", "parameters": parameters},
    }


TOOLS = [tool("weather"), tool("population")]


def check_models(client):
    """The list holds the model, and it can be retrieved."""
    names = [model.id for model in client.models.list()]
    assert MODEL in names, names
    assert client.models.retrieve(MODEL).id == MODEL


def check_chat(client):
    """A whole answer has text, a reason and counts."""
    answer = client.chat.completions.create(model=MODEL, messages=HI, **SEEN)
    assert answer.model == MODEL
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in {"stop", "length"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 2


def check_stream(client):
    """A stream gives the same text as the whole answer, and counts when asked to."""
    whole = client.chat.completions.create(model=MODEL, messages=HI, **SEEN)
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=MODEL, messages=HI, stream=True, stream_options=options, **SEEN))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def check_choices(client):
    """Several choices come back under their own numbers, whole and streamed."""
    many = {**SEEN, "n": 3, "temperature": 1}
    answer = client.chat.completions.create(model=MODEL, messages=HI, **many)
    assert sorted(choice.index for choice in answer.choices) == [0, 1, 2]
    ended = {}
    for chunk in client.chat.completions.create(model=MODEL, messages=HI, stream=True, **many):
        for choice in chunk.choices:
            ended[choice.index] = choice.finish_reason
    assert sorted(ended) == [0, 1, 2]
    assert all(ended.values())


def check_stream_helper(client):
    """The library's own accumulating stream understands every chunk."""
    with client.chat.completions.stream(model=MODEL, messages=HI, **ROOMY) as stream:
        kinds = {event.type for event in stream}
        try:
            final = stream.get_final_completion()
        except openai.LengthFinishReasonError as error:  # a small model may not come to an end
            final = error.completion
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    assert final.choices[0].message.content


def calls_of(client, choice, **more):
    answer = client.chat.completions.create(model=MODEL, messages=HI, tools=TOOLS, tool_choice=choice, **ROOMY, **more)
    calls = answer.choices[0].message.tool_calls or []
    cut = answer.choices[0].finish_reason == "length"
    for call in calls[:-1] if cut else calls:
        assert call.type == "function"
        assert call.id
        assert isinstance(json.loads(call.function.arguments), dict)
    assert len({call.id for call in calls}) == len(calls)
    return answer.choices[0], [call.function.name for call in calls]


def check_tools_auto(client):
    """With `auto` the answer is text or calls of these tools."""
    choice, names = calls_of(client, "auto")
    assert set(names) <= {"weather", "population"}
    assert choice.message.content or names


def check_tools_required(client):
    """With `required` there is a call, whatever the model."""
    choice, names = calls_of(client, "required", parallel_tool_calls=False)
    assert len(names) == 1
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None


def check_tools_named(client):
    """A named tool is the one that is called."""
    _, names = calls_of(client, {"type": "function", "function": {"name": "population"}})
    assert set(names) == {"population"}


def check_tools_none(client):
    """With `none` nothing is called."""
    choice, names = calls_of(client, "none")
    assert (names, choice.message.content is not None) == ([], True)


def check_tools_parallel(client):
    """Parallel calls are allowed and each has its own id."""
    _, names = calls_of(client, "required", parallel_tool_calls=True)
    assert names


def check_tools_stream(client):
    """A streamed call has its name first and its arguments in pieces that join to JSON."""
    chunks = client.chat.completions.create(
        model=MODEL, messages=HI, tools=TOOLS, tool_choice="required", stream=True, **ROOMY
    )
    name, arguments = "", ""
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.index == 0:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name in {"weather", "population"}
    assert isinstance(json.loads(arguments), dict)


def check_tools_history(client):
    """A conversation with a call and its result goes on."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    history = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert client.chat.completions.create(model=MODEL, messages=history, tools=TOOLS, **SEEN).choices


def check_json_object(client):
    """`json_object` gives a JSON object."""
    kind = {"type": "json_object"}
    answer = client.chat.completions.create(model=MODEL, messages=CITY, response_format=kind, **ROOMY)
    choice = answer.choices[0]
    assert choice.finish_reason == "length" or isinstance(json.loads(choice.message.content), dict)


def check_json_schema(client):
    """A strict schema gives JSON that is valid against it."""
    schema = {**City.model_json_schema(), "additionalProperties": False}
    kind = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": schema}}
    answer = client.chat.completions.create(model=MODEL, messages=CITY, response_format=kind, **ROOMY)
    City.model_validate_json(answer.choices[0].message.content)


def check_parse(client):
    """`parse` fills a pydantic model."""
    answer = client.chat.completions.parse(model=MODEL, messages=CITY, response_format=City, **ROOMY)
    assert isinstance(answer.choices[0].message.parsed, City)


def check_logprobs(client):
    """Log-probabilities are there for every token, with alternatives and bytes, all finite."""
    answer = client.chat.completions.create(model=MODEL, messages=HI, logprobs=True, top_logprobs=1, **SEEN)
    tokens = answer.choices[0].logprobs.content
    assert tokens
    joined = b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace")
    assert joined.startswith(answer.choices[0].message.content)
    for token in tokens:
        assert math.isfinite(token.logprob)
        assert token.logprob <= 0
        assert len(token.top_logprobs) == 1


def check_embeddings(client):
    """Vectors are the same as numbers and as base64 (the library's default), one for each input."""
    plain = client.embeddings.create(model=EMBED, input=["a cat", "a dog"], encoding_format="float")
    packed = client.embeddings.create(model=EMBED, input=["a cat", "a dog"])
    assert [row.index for row in packed.data] == [0, 1]
    for one, other in zip(plain.data, packed.data, strict=True):
        assert len(one.embedding) == len(other.embedding) > 1
        assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(one.embedding, other.embedding, strict=True))
    assert packed.usage.prompt_tokens > 0


def check_completions(client):
    """The older API answers whole, streamed and with an echo."""
    answer = client.completions.create(model=MODEL, prompt="One two three", echo=True, **SEEN)
    assert answer.object == "text_completion"
    assert answer.choices[0].text.startswith("One two three")
    chunks = list(client.completions.create(model=MODEL, prompt="One two three", stream=True, **SEEN))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text.removeprefix("One two three")
    short = client.completions.create(model=MODEL, prompt=["One two three four five six", "b"], max_tokens=2)
    assert [choice.index for choice in short.choices] == [0, 1]
    assert short.choices[0].finish_reason == "length"


def failing(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def check_errors(client):
    """Errors become the library's own exceptions, with code and param."""
    stranger = client.with_options(api_key="sk-wrong", max_retries=0)
    error = failing(openai.AuthenticationError, stranger.models.list)
    assert error.code == "invalid_api_key"
    create = client.chat.completions.create
    error = failing(openai.NotFoundError, lambda: create(model="no-such-model", messages=HI))
    assert (error.code, error.param) == ("model_not_found", "model")
    error = failing(openai.NotFoundError, lambda: list(create(model="no-such-model", messages=HI, stream=True)))
    assert error.code == "model_not_found"
    error = failing(openai.BadRequestError, lambda: create(model=MODEL, messages=HI, temperature=9))
    assert error.param == "temperature"
    assert error.type == "invalid_request_error"
    assert error.request_id
    long = [{"role": "user", "content": "very long " * 40000}]
    error = failing(openai.BadRequestError, lambda: create(model=MODEL, messages=long))
    assert error.code == "context_length_exceeded", error
    error = failing(openai.BadRequestError, lambda: list(create(model=MODEL, messages=long, stream=True)))
    assert error.code == "context_length_exceeded", error


def check_faults(client):
    """A busy server is asked again after its own delay; what cannot help is not tried again; a broken stream raises."""
    began = time.monotonic()
    raw = client.chat.completions.with_raw_response.create(model="busy-once", messages=HI)
    assert raw.retries_taken == 1
    assert time.monotonic() - began >= 0.2
    never = client.with_options(max_retries=0)
    error = failing(openai.RateLimitError, lambda: never.chat.completions.create(model="busy", messages=HI))
    assert error.code == "rate_limit_exceeded"
    error = failing(openai.InternalServerError, lambda: client.chat.completions.create(model="broken", messages=HI))
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.request.headers["x-stainless-retry-count"] == "0"
    chunks = []
    stream = client.chat.completions.create(model="dies", messages=HI, stream=True)
    error = failing(openai.APIError, lambda: chunks.extend(stream))
    assert error.code == "engine_crashed"
    assert not any(chunk.choices[0].finish_reason for chunk in chunks)


def check_leaving(client):
    """Leaving a stream leaves the server able to answer."""
    long = [{"role": "user", "content": "Count slowly: " + "one " * 500}]
    with client.chat.completions.create(model=MODEL, messages=long, stream=True, max_tokens=2000) as stream:
        next(iter(stream))
    check_chat(client)


def check_raw(client):
    """Every answer carries its request id."""
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HI, **SEEN)
    assert raw.headers["x-request-id"]
    assert raw.parse()._request_id


async def check_async():
    """The asynchronous client answers whole and streamed, many at a time."""
    async with openai.AsyncOpenAI() as client:

        async def one():
            stream = await client.chat.completions.create(model=MODEL, messages=HI, stream=True, **SEEN)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        whole = await client.chat.completions.create(model=MODEL, messages=HI, **SEEN)
        texts = await asyncio.gather(one(), one(), one(), one())
        assert all(texts)
        assert whole.choices[0].message.content


def main():
    """Run every check."""
    client = openai.OpenAI()
    for name, check in list(globals().items()):
        if name.startswith("check_") and name != "check_async" and (FAULTS or name != "check_faults"):
            check(client)
            print("ok", name.removeprefix("check_"), flush=True)
    asyncio.run(check_async())
    print("ok async", flush=True)


main()
