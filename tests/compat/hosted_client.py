"""The real `openai` library's responses with tools that the server calls itself; see `openai_client.py`.

The server has the MCP server `desk` and the vector store `vs_1` of `workshops.py`, and the model `seeks` that searches.
Prints `ok NAME` for every check; ends with an exception at the first that fails.
"""

import os

import openai

MODEL = os.environ["COMPAT_MODEL"]
HI = "What is the capital of France?"
DESK = {"type": "mcp", "server_label": "desk", "require_approval": "never"}
CAREFUL = {"type": "mcp", "server_label": "desk"}
CLOCK = {"type": "mcp", "server_label": "desk", "name": "clock"}


def failing(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def strictly(value):
    """The object again, now with every field checked against the library's own types."""
    return type(value).model_validate(value.model_dump(mode="python", by_alias=True, warnings=False))


def check_servers(client):
    """Calls of tools of an MCP server: every item and event is as the library's types say, failures included."""
    events = list(client.responses.create(model=MODEL, input=HI, tools=[DESK], tool_choice=CLOCK, stream=True))
    for event in events:
        strictly(event)
    kinds = [event.type for event in events]
    for kind in (
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
    ):
        assert f"response.{kind}" in kinds, kind
    listed, call, message = events[-1].response.output
    assert [tool.name for tool in listed.tools] == ["clock", "fails", "hangs"]
    assert (call.output, message.content[0].text) == ("It is noon.", "It is noon.")
    whole = strictly(client.responses.create(model=MODEL, input=HI, tools=[DESK], tool_choice=CLOCK))
    assert [item.type for item in whole.output] == ["mcp_list_tools", "mcp_call", "message"]
    with client.responses.stream(model=MODEL, input=HI, tools=[DESK], tool_choice=CLOCK) as stream:
        assert stream.get_final_response().output_text == "It is noon."
    asked = [item.model_dump(exclude_none=True, warnings=False) for item in whole.output]
    again = client.responses.create(model=MODEL, input=[{"role": "user", "content": HI}, *asked], tools=[DESK])
    assert "mcp_list_tools" not in {item.type for item in again.output}
    failed = client.responses.create(model=MODEL, input=HI, tools=[DESK], tool_choice={**CLOCK, "name": "fails"})
    assert failed.output[1].status == "failed"
    if not openai.VERSION.startswith("2."):
        strictly(failed)
        assert failed.output[1].error.type == "mcp_tool_execution_error"


def check_agreed(client):
    """A call is asked for and, agreed to, made."""
    first = strictly(client.responses.create(model=MODEL, input=HI, tools=[CAREFUL], tool_choice=CLOCK))
    request = first.output[-1]
    assert request.type == "mcp_approval_request"
    decision = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    second = client.responses.create(model=MODEL, input=[decision], tools=[CAREFUL], previous_response_id=first.id)
    assert strictly(second).output[0].approval_request_id == request.id
    assert second.output_text == "It is noon."


def check_search(client):
    """Searches: every item and event is as the library's types say."""
    search = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    include = ["file_search_call.results"]
    events = list(client.responses.create(model="seeks", input=HI, tools=[search], include=include, stream=True))
    for event in events:
        strictly(event)
    kinds = [event.type for event in events]
    for kind in ("in_progress", "searching", "completed"):
        assert f"response.file_search_call.{kind}" in kinds, kind
    assert events[-1].response.output[0].results[0].filename == "a.md"
    missing = {**search, "vector_store_ids": ["vs_none"]}
    failing(openai.NotFoundError, lambda: client.responses.create(model="seeks", input=HI, tools=[missing]))


def main():
    """Run every check."""
    client = openai.OpenAI()
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check(client)
            print("ok", name.removeprefix("check_"), flush=True)


main()
