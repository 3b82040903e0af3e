"""The real `openai` library's responses and conversations against a running server; see `openai_client.py`.

COMPAT_FAULTS=1: the server also has the models `thinks`, `dies` and `slow`. COMPAT_REAL=1: the model is a real one.
Prints `ok NAME` for every check; ends with an exception at the first that fails.
"""

import json
import os
from typing import Annotated

import openai
import pydantic

MODEL = os.environ["COMPAT_MODEL"]
FAULTS = os.environ.get("COMPAT_FAULTS") == "1"
REAL = os.environ.get("COMPAT_REAL") == "1"
HI = "What is the capital of France?"
CITY = '{"city": "Paris", "size": 2}'
SEEN = {"temperature": 0, "extra_body": {"seed": 1}, "max_output_tokens": 24}
ROOMY = {**SEEN, "max_output_tokens": 300}
ENDS = {"response.completed", "response.incomplete"}


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
    return {"type": "function", "name": name, "description": f"{name} of a city", "parameters": parameters}


TOOLS = [tool("weather"), tool("population")]
FREE = {"type": "custom", "name": "patch", "description": "Takes a patch."}


def failing(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def strictly(value):
    """The object again, now with every field checked against the library's own types."""
    return type(value).model_validate(value.model_dump(mode="python", by_alias=True, warnings=False))


def check_create(client):
    """A response has text, a status, counts and every field that the library's types ask for."""
    answer = client.responses.create(model=MODEL, input=HI, instructions="Be short.", metadata={"a": "b"}, **SEEN)
    strictly(answer)
    assert answer.id.startswith("resp_")
    assert answer.output_text
    assert answer.status in {"completed", "incomplete"}
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 2
    assert (answer.metadata, answer.instructions, answer.model) == ({"a": "b"}, "Be short.", MODEL)


def check_stream(client):
    """A stream climbs the whole ladder, numbered without a gap, and gives the same text as the whole answer."""
    whole = client.responses.create(model=MODEL, input=HI, **SEEN)
    events = list(client.responses.create(model=MODEL, input=HI, stream=True, **SEEN))
    for event in events:
        strictly(event)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds[:5] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    assert kinds[5:8] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert kinds[-1] in ENDS
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens == whole.usage.output_tokens


def check_same_text_as_chat(client):
    """The same question gives the same text as through the chat API."""
    chat = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": HI}], temperature=0, seed=1, max_tokens=24
    )
    assert client.responses.create(model=MODEL, input=HI, **SEEN).output_text == chat.choices[0].message.content


def check_stream_helper(client):
    """The library's own accumulating stream understands every event."""
    with client.responses.stream(model=MODEL, input=HI, **ROOMY) as stream:
        kinds = {event.type for event in stream}
        final = None if kinds & {"response.incomplete"} else stream.get_final_response()
    assert {"response.created", "response.output_text.delta", "response.output_text.done"} <= kinds, kinds
    assert final is None or final.output_text


def check_parse(client):
    """`parse` fills a pydantic model, whole and streamed."""
    answer = client.responses.parse(model=MODEL, input=CITY, text_format=City, **ROOMY)
    assert isinstance(answer.output_parsed, City)
    with client.responses.stream(model=MODEL, input=CITY, text_format=City, **ROOMY) as stream:
        assert isinstance(stream.get_final_response().output_parsed, City)


def calls_of(answer):
    return [item for item in answer.output if item.type in {"function_call", "custom_tool_call"}]


def check_tools_loop(client):
    """A forced call comes with its arguments; its result, sent after it, is answered in words."""
    asked = [{"role": "user", "content": HI}]
    first = client.responses.create(
        model=MODEL, input=asked, tools=TOOLS, tool_choice={"type": "function", "name": "population"}, **ROOMY
    )
    (call,) = calls_of(strictly(first))
    assert (call.name, call.type, first.status) == ("population", "function_call", "completed")
    assert isinstance(json.loads(call.arguments), dict)
    asked += [item.model_dump(exclude_none=True) for item in first.output]
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "two million"})
    second = client.responses.create(model=MODEL, input=asked, tools=TOOLS, tool_choice="none", **SEEN)
    assert second.output_text
    again = {"type": "function_call_output", "call_id": call.call_id, "output": [{"type": "input_text", "text": "2M"}]}
    third = client.responses.create(model=MODEL, input=[again], previous_response_id=first.id, **SEEN)
    assert third.output_text


def check_tools_stream(client):
    """A streamed call has pieces of arguments that join to the whole."""
    events = list(
        client.responses.create(model=MODEL, input=HI, tools=TOOLS, tool_choice="required", stream=True, **ROOMY)
    )
    for event in events:
        strictly(event)
    pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    (done, *_) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert "".join(pieces).startswith(done.arguments)
    assert isinstance(json.loads(done.arguments), dict)
    with client.responses.stream(model=MODEL, input=HI, tools=TOOLS, tool_choice="required", **ROOMY) as stream:
        assert calls_of(stream.get_final_response())


def check_custom_tool(client):
    """A free-form tool is called with text."""
    choice = {"type": "custom", "name": "patch"}
    answer = client.responses.create(model=MODEL, input=HI, tools=[FREE], tool_choice=choice, **ROOMY)
    (call,) = calls_of(strictly(answer))
    assert (call.type, call.name) == ("custom_tool_call", "patch")
    events = list(
        client.responses.create(model=MODEL, input=HI, tools=[FREE], tool_choice=choice, stream=True, **ROOMY)
    )
    (done,) = [event for event in events if event.type == "response.custom_tool_call_input.done"]
    pieces = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
    assert "".join(pieces) == done.input == calls_of(events[-1].response)[0].input


def check_namespaces(client):
    """A call of a tool in a namespace says which."""
    tools = [{"type": "namespace", "name": "mcp__maps", "description": "Maps.", "tools": [tool("find")]}]
    answer = client.responses.create(
        model=MODEL, input=HI, tools=[*tools, {"type": "web_search"}], tool_choice="required", **ROOMY
    )
    call = calls_of(answer)[0]
    assert (call.name, call.namespace) == ("find", "mcp__maps")


def check_continued(client):
    """A response continues another with all that was said, but without its instructions."""
    first = client.responses.create(model=MODEL, input=HI, instructions="Talk like a sailor.", **SEEN)
    second = client.responses.create(model=MODEL, input="And of Italy?", previous_response_id=first.id, **SEEN)
    assert second.previous_response_id == first.id
    assert second.instructions is None
    alone = client.responses.create(model=MODEL, input="And of Italy?", **SEEN)
    if REAL:
        assert second.usage.input_tokens > alone.usage.input_tokens
    error = failing(
        openai.NotFoundError,
        lambda: client.responses.create(model=MODEL, input=HI, previous_response_id="resp_none"),
    )
    assert error.param == "previous_response_id"


def check_kept(client):
    """A stored response and its input can be read, paged and deleted; one with `store: false` is nowhere."""
    items = [{"role": "user", "content": text} for text in ("one", "two", "three")]
    answer = client.responses.create(model=MODEL, input=items, **SEEN)
    assert client.responses.retrieve(answer.id).output_text == answer.output_text
    listed = [item.content[0].text for item in client.responses.input_items.list(answer.id, limit=1, order="asc")]
    assert listed == ["one", "two", "three"]
    client.responses.delete(answer.id)
    failing(openai.NotFoundError, lambda: client.responses.retrieve(answer.id))
    hidden = client.responses.create(model=MODEL, input=HI, store=False, **SEEN)
    failing(openai.NotFoundError, lambda: client.responses.retrieve(hidden.id))


def check_references(client):
    """An item is found again by its id."""
    first = client.responses.create(model=MODEL, input=HI, **SEEN)
    reference = {"type": "item_reference", "id": first.output[0].id}
    answer = client.responses.create(model=MODEL, input=[reference, {"role": "user", "content": "Go on."}], **SEEN)
    listed = client.responses.input_items.list(answer.id, order="asc").data
    assert listed[0].content[0].text == first.output_text


def check_background(client):
    """A response in the background ends by itself; its stream can be read from any event on."""
    answer = client.responses.create(model=MODEL, input=HI, background=True, **SEEN)
    assert answer.status == "queued"
    events = list(client.responses.retrieve(answer.id, stream=True))
    assert events[0].type == "response.created"
    assert events[1].type == "response.queued"
    assert events[-1].type in ENDS
    rest = list(client.responses.retrieve(answer.id, stream=True, starting_after=3))
    assert [event.sequence_number for event in rest] == [event.sequence_number for event in events[4:]]
    ended = strictly(client.responses.retrieve(answer.id))
    assert ended.status == events[-1].response.status
    assert client.responses.cancel(answer.id).status == ended.status
    plain = client.responses.create(model=MODEL, input=HI, **SEEN)
    failing(openai.BadRequestError, lambda: client.responses.cancel(plain.id))
    streamed = list(client.responses.create(model=MODEL, input=HI, background=True, stream=True, **SEEN))
    assert streamed[-1].type in ENDS


def check_conversations(client):
    """A conversation takes what is asked and answered, and can be read, paged, labelled and deleted."""
    talk = client.conversations.create(items=[{"role": "user", "content": "My name is Ann."}], metadata={"topic": "x"})
    answer = client.responses.create(model=MODEL, input="Who am I?", conversation=talk.id, **SEEN)
    assert answer.conversation.id == talk.id
    items = list(client.conversations.items.list(talk.id, limit=2, order="asc"))
    assert [item.role for item in items] == ["user", "user", "assistant"]
    assert items[-1].id == answer.output[0].id
    for item in items:
        strictly(item)
        assert client.conversations.items.retrieve(item.id, conversation_id=talk.id).id == item.id
    more = client.conversations.items.create(talk.id, items=[{"role": "user", "content": "Thanks."}])
    client.conversations.items.delete(more.data[0].id, conversation_id=talk.id)
    assert client.conversations.update(talk.id, metadata={"topic": "y"}).metadata == {"topic": "y"}
    assert client.conversations.retrieve(talk.id).metadata == {"topic": "y"}
    assert len(list(client.conversations.items.list(talk.id))) == 3
    assert client.conversations.delete(talk.id).deleted
    failing(openai.NotFoundError, lambda: client.conversations.retrieve(talk.id))
    failing(openai.NotFoundError, lambda: client.responses.create(model=MODEL, input=HI, conversation=talk.id))


def check_counting(client):
    """The count of a prompt is what a response to it uses."""
    many = [
        {"role": "user", "content": HI},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": HI},
    ]
    for more in ({}, {"instructions": "Be short."}, {"tools": TOOLS}, {"input": many}):
        asked = {"model": MODEL, "input": HI, **more}
        counted = client.responses.input_tokens.count(**asked).input_tokens
        used = client.responses.create(**asked, **SEEN).usage.input_tokens
        assert counted == used if REAL else counted > 0, (more, counted, used)


def check_compact(client):
    """A conversation in short can be continued."""
    short = client.responses.compact(model=MODEL, input=[{"role": "user", "content": HI}])
    assert [item.type for item in short.output] == ["message", "compaction"]
    items = [item.model_dump(exclude_none=True, warnings=False) for item in short.output]
    assert client.responses.create(
        model=MODEL, input=[*items, {"role": "user", "content": "Go on."}], **SEEN
    ).output_text


def check_logprobs(client):
    """Log-probabilities are there for every token, with alternatives."""
    include = ["message.output_text.logprobs"]
    answer = client.responses.create(model=MODEL, input=HI, include=include, top_logprobs=1, **SEEN)
    part = strictly(answer).output[0].content[0]
    assert "".join(token.token for token in part.logprobs) == part.text
    assert all(len(token.top_logprobs) == 1 for token in part.logprobs)
    events = list(client.responses.create(model=MODEL, input=HI, include=include, stream=True, **SEEN))
    tokens = [token.token for event in events if event.type == "response.output_text.delta" for token in event.logprobs]
    assert "".join(tokens) == part.text


def check_limit(client):
    """An answer that is cut says why."""
    answer = client.responses.create(model=MODEL, input="one two three four five", max_output_tokens=2)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def check_errors(client):
    """Errors become the library's own exceptions, with code and param."""
    create = client.responses.create
    error = failing(openai.NotFoundError, lambda: create(model="no-such-model", input=HI))
    assert (error.code, error.param) == ("model_not_found", "model")
    error = failing(openai.NotFoundError, lambda: list(create(model="no-such-model", input=HI, stream=True)))
    assert error.code == "model_not_found"
    error = failing(openai.BadRequestError, lambda: create(model=MODEL, input=HI, temperature=9))
    assert error.param == "temperature"
    long = "very long " * 40000
    error = failing(openai.BadRequestError, lambda: create(model=MODEL, input=long))
    assert error.code == "context_length_exceeded", error
    error = failing(openai.BadRequestError, lambda: list(create(model=MODEL, input=long, stream=True)))
    assert error.code == "context_length_exceeded", error
    failing(openai.NotFoundError, lambda: client.responses.retrieve("resp_none"))


def check_faults(client):
    """Thoughts are items of their own; a stream that breaks says so; a slow response in the background is cancelled."""
    thoughtful = client.responses.create(model="thinks", input=HI, include=["reasoning.encrypted_content"])
    reasoning, message = strictly(thoughtful).output
    assert (reasoning.content[0].text, message.content[0].text) == ("let me see", "Paris")
    assert reasoning.encrypted_content
    events = list(client.responses.create(model="thinks", input=HI, stream=True, reasoning={"summary": "auto"}))
    for event in events:
        strictly(event)
    assert "response.reasoning_summary_text.delta" in {event.type for event in events}
    assert events[-1].response.output[0].summary[0].text == "let me see"
    events = list(client.responses.create(model="dies", input=HI, stream=True))
    assert (events[-1].type, strictly(events[-1]).response.error.code) == ("response.failed", "server_error")
    running = client.responses.create(model="slow", input="word " * 5000, background=True)
    assert client.responses.retrieve(running.id).status in {"queued", "in_progress"}
    assert client.responses.cancel(running.id).status == "cancelled"
    assert client.responses.retrieve(running.id).status == "cancelled"


def main():
    """Run every check."""
    client = openai.OpenAI()
    for name, check in list(globals().items()):
        if name.startswith("check_") and (FAULTS or name != "check_faults"):
            check(client)
            print("ok", name.removeprefix("check_"), flush=True)


main()
