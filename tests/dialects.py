"""The four dialects of a conversation, spoken over plain HTTP: the same question in each, whole and streamed."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from gateway import Gateway
from sse import Stream

Json = dict[str, Any]


class Told(NamedTuple):
    """What an answer said, whichever dialect said it."""

    text: str
    calls: tuple[tuple[str, Json], ...] = ()
    """Name and arguments of each tool call."""
    prompt: int = 0
    """Tokens of the prompt, as its usage tells."""


class Dialect(Protocol):
    """How one dialect asks and answers."""

    name: str
    path: str

    def body(self, model: str, question: str, limit: int) -> Json:
        """A greedy request of one question."""
        ...

    def tool(self, name: str, parameters: Json) -> Json:
        """The fields that force a call of this tool."""
        ...

    def schema(self, schema: Json) -> Json:
        """The fields that force the answer into a schema."""
        ...

    def whole(self, answer: Json) -> Told:
        """What a whole answer told."""
        ...

    def streamed(self, events: list[Json]) -> Told:
        """What the events of a stream told."""
        ...


def ask(dialect: Dialect, gateway: Gateway, body: Json, *, stream: bool) -> Told:
    """Ask, and read the answer."""
    if not stream:
        status, answer = gateway.ask("POST", dialect.path, {**body, "stream": False})
        assert status == 200, answer
        return dialect.whole(answer)
    opened = Stream(gateway.port, gateway.key, dialect.path, {**body, "stream": True}, timeout=600).open()
    events = list(_events(opened))
    assert opened.status == 200, events
    return dialect.streamed(events)


def _events(stream: Stream) -> Iterator[Json]:
    """The JSON of each event or line."""
    for line in stream.lines():
        data = line.removeprefix(b"data: ").strip()
        if data.startswith(b"{"):
            yield json.loads(data)


class OpenAI:
    """POST /v1/chat/completions."""

    name = "chat"
    path = "/v1/chat/completions"

    def body(self, model: str, question: str, limit: int) -> Json:
        messages = [{"role": "user", "content": question}]
        options = {"include_usage": True}
        return {"model": model, "messages": messages, "max_tokens": limit, "temperature": 0, "stream_options": options}

    def tool(self, name: str, parameters: Json) -> Json:
        function = {"name": name, "description": "A tool.", "parameters": parameters}
        choice = {"type": "function", "function": {"name": name}}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}

    def schema(self, schema: Json) -> Json:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}

    def whole(self, answer: Json) -> Told:
        message = answer["choices"][0]["message"]
        called = [each["function"] for each in message.get("tool_calls") or ()]
        calls = tuple((each["name"], json.loads(each["arguments"])) for each in called)
        return Told(message["content"] or "", calls, answer["usage"]["prompt_tokens"])

    def streamed(self, events: list[Json]) -> Told:
        deltas = [choice["delta"] for event in events for choice in event["choices"]]
        pieces: dict[int, list[str]] = {}
        for call in (call for delta in deltas for call in delta.get("tool_calls") or ()):
            kept = pieces.setdefault(call["index"], ["", ""])
            kept[0] += call["function"].get("name") or ""
            kept[1] += call["function"].get("arguments") or ""
        calls = tuple((name, json.loads(arguments)) for name, arguments in pieces.values())
        text = "".join(delta.get("content") or "" for delta in deltas)
        return Told(text, calls, events[-1]["usage"]["prompt_tokens"])


class Responses:
    """POST /v1/responses."""

    name = "responses"
    path = "/v1/responses"

    def body(self, model: str, question: str, limit: int) -> Json:
        return {"model": model, "input": question, "max_output_tokens": limit, "temperature": 0, "store": False}

    def tool(self, name: str, parameters: Json) -> Json:
        tool = {"type": "function", "name": name, "description": "A tool.", "parameters": parameters}
        return {"tools": [tool], "tool_choice": {"type": "function", "name": name}}

    def schema(self, schema: Json) -> Json:
        return {"text": {"format": {"type": "json_schema", "name": "answer", "schema": schema}}}

    def whole(self, answer: Json) -> Told:
        messages = [item for item in answer["output"] if item["type"] == "message"]
        called = [item for item in answer["output"] if item["type"] == "function_call"]
        text = "".join(part["text"] for item in messages for part in item["content"])
        calls = tuple((item["name"], json.loads(item["arguments"])) for item in called)
        return Told(text, calls, answer["usage"]["input_tokens"])

    def streamed(self, events: list[Json]) -> Told:
        final = events[-1]
        assert final["type"] in {"response.completed", "response.incomplete"}, final
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        told = self.whole(final["response"])
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        assert text == told.text
        return told


class Anthropic:
    """POST /v1/messages."""

    name = "messages"
    path = "/v1/messages"

    def body(self, model: str, question: str, limit: int) -> Json:
        messages = [{"role": "user", "content": question}]
        return {"model": model, "messages": messages, "max_tokens": limit, "temperature": 0}

    def tool(self, name: str, parameters: Json) -> Json:
        tool = {"name": name, "description": "A tool.", "input_schema": parameters}
        return {"tools": [tool], "tool_choice": {"type": "tool", "name": name}}

    def schema(self, schema: Json) -> Json:
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}

    def whole(self, answer: Json) -> Told:
        text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
        used = [block for block in answer["content"] if block["type"] == "tool_use"]
        calls = tuple((block["name"], block["input"]) for block in used)
        usage = answer["usage"]
        return Told(text, calls, usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0))

    def streamed(self, events: list[Json]) -> Told:
        events = [event for event in events if event["type"] != "ping"]
        assert events[0]["type"] == "message_start"
        assert events[-1]["type"] == "message_stop"
        blocks: dict[int, Json] = {}
        for event in events:
            match event["type"]:
                case "content_block_start":
                    blocks[event["index"]] = {**event["content_block"], "said": ""}
                case "content_block_delta":
                    delta = event["delta"]
                    blocks[event["index"]]["said"] += delta.get("text") or delta.get("partial_json") or ""
                case _:
                    pass
        text = "".join(block["said"] for block in blocks.values() if block["type"] == "text")
        used = [block for block in blocks.values() if block["type"] == "tool_use"]
        calls = tuple((block["name"], json.loads(block["said"] or "{}")) for block in used)
        usage = events[0]["message"]["usage"]
        return Told(text, calls, usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0))


class Ollama:
    """POST /api/chat."""

    name = "ollama"
    path = "/api/chat"

    def body(self, model: str, question: str, limit: int) -> Json:
        messages = [{"role": "user", "content": question}]
        return {"model": model, "messages": messages, "options": {"num_predict": limit, "temperature": 0}}

    def tool(self, name: str, parameters: Json) -> Json:
        function = {"name": name, "description": "A tool.", "parameters": parameters}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}

    def schema(self, schema: Json) -> Json:
        return {"format": schema}

    def whole(self, answer: Json) -> Told:
        return self.streamed([answer])

    def streamed(self, events: list[Json]) -> Told:
        messages = [event["message"] for event in events if "message" in event]
        called = [call["function"] for message in messages for call in message.get("tool_calls") or ()]
        text = "".join(message.get("content") or "" for message in messages)
        calls = tuple((each["name"], each["arguments"]) for each in called)
        assert events[-1]["done"] is True
        return Told(text, calls, events[-1].get("prompt_eval_count") or 0)


ALL: tuple[Dialect, ...] = (OpenAI(), Responses(), Anthropic(), Ollama())
