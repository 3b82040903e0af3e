"""Scripted models, and the requests that tests of the responses API send."""

import json

from localai.core.errors import EngineCrashed, RateLimited
from localai.core.event import Done, Text, Thought, ToolCall, Usage
from sse import Stream

PATH = "/v1/responses"


def busy():
    raise RateLimited(retry_after=2)


def calls():
    yield ToolCall(index=0, id="call_9", name="mcp__maps__find", arguments='{"city": "Rome"}')
    yield Done(finish="tool_calls", usage=Usage(prompt=9, completion=4))


def thinks():
    yield Thought(text="hm")
    yield Text(text="ok")
    yield Done(usage=Usage(prompt=9, completion=4, thought=1))


SCRIPTS = {
    "dies": lambda: (Text(text="half"), EngineCrashed("The process died.")),
    "ends": lambda: (Text(text="half"),),
    "busy": busy,
    "calls": calls,
    "thinks": thinks,
}


def ask(server, text="to be", model="echo", **fields):
    status, answer = server.post(PATH, model=model, input=text, **fields)
    assert status == 200, answer
    return answer


def get(server, path):
    status, _, answer = server.ask("GET", path)
    return status, answer


def opened(server, body):
    return Stream(server.port, server.key, PATH, body, timeout=30).open()


def events(server, text="to be", model="echo", **fields):
    return list(opened(server, {"model": model, "input": text, "stream": True, **fields}).events())


def resumed(server, path):
    _, headers, text = server.ask("GET", path)
    assert headers["content-type"].startswith("text/event-stream")
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def said(answer):
    return "".join(part["text"] for item in answer["output"] for part in item.get("content", ()))


def prompt(perform):
    """The turns of the last task: pairs of role and text."""
    messages = perform.asked[-1].prompt.messages
    return [(message.role, "".join(part.text for part in message.content)) for message in messages]
