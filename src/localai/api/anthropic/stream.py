"""The events of a streamed message: each block opens, grows and closes, and the message around them does too."""

from typing import Any, Literal, NamedTuple, assert_never

import orjson

from localai.api.anthropic.body import Asked
from localai.api.anthropic.message import call_id
from localai.api.anthropic.thinking import signature
from localai.api.anthropic.usage import stop_fields, usage_fields
from localai.api.dialect import shape
from localai.core.errors import InternalError, LocalAIError
from localai.core.event import (
    Done,
    Event,
    Failed,
    Logprobs,
    Progress,
    Score,
    Text,
    Thought,
    Tokens,
    ToolCall,
    Usage,
    Vector,
)

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
"""What fills a silence; clients skip it."""


def frame(kind: str, **fields: Any) -> bytes:
    """A server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


def error_frame(error: LocalAIError, request: str) -> bytes:
    """An error as a server-sent event; nothing follows it."""
    return b"event: error\ndata: " + orjson.dumps(shape(error, "anthropic", request)) + b"\n\n"


class _Open(NamedTuple):
    """The block that is being written; `call` is the engine's number of a tool call."""

    kind: Literal["text", "thinking", "tool_use"]
    call: int = -1


class Stream:
    """Turns the events of one answer into server-sent events.

    The message starts as soon as the size of the prompt is known, so that its first event can tell it: when the
    engine begins to read, or with the first piece of an answer where the engine says nothing of that.
    """

    def __init__(self, identifier: str, model: str, wanted: Asked) -> None:
        self._identifier = identifier
        self._model = model
        self._wanted = wanted
        self._begun = False
        self._open: _Open | None = None
        self._index = -1
        self._head = b""
        """The beginning of every piece of the open text."""
        self._thought: list[str] = []
        self._calls = 0
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the answer has ended."""
        return self._done

    def feed(self, index: int, batch: tuple[Event, ...]) -> bytes:
        """The events of a batch, in one piece; may be empty."""
        out: list[bytes] = []
        for event in batch:
            if type(event) is Text and self._open == ("text", -1):
                out.append(self._head + orjson.dumps(event.text) + b"}}\n\n")
            else:
                self._hear(event, out)
        return b"".join(out)

    def _hear(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Progress(stage="prefill", total=total) if total:
                self._begin(int(total), out)
            case Text(text=text):
                self._say(text, out)
            case Thought(text=text):
                self._think(text, out)
            case ToolCall():
                self._call(event, out)
            case Done():
                self._end(event, out)
            case Progress() | Logprobs() | Vector() | Score() | Tokens() | Failed():
                pass
            case _:
                assert_never(event)

    def _begin(self, prompt: int, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        message: dict[str, Any] = {
            "id": self._identifier,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_fields(Usage(prompt=prompt)),
        }
        out.append(frame("message_start", message=message))

    def _say(self, text: str, out: list[bytes]) -> None:
        if not text:
            return
        self._turn(_Open("text"), {"type": "text", "text": ""}, out)
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._index
        )
        self._head += b'{"type":"text_delta","text":'
        out.append(self._head + orjson.dumps(text) + b"}}\n\n")

    def _think(self, text: str, out: list[bytes]) -> None:
        if not text or not self._wanted.thoughts:
            return
        self._turn(_Open("thinking"), {"type": "thinking", "thinking": "", "signature": ""}, out)
        self._thought.append(text)
        if self._wanted.shown:
            out.append(self._delta({"type": "thinking_delta", "thinking": text}))

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        if call.index >= self._calls:
            self._calls = call.index + 1
            block: dict[str, Any] = {"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": {}}
            self._turn(_Open("tool_use", call.index), block, out)
        elif self._open != ("tool_use", call.index):
            raise InternalError("The engine went back to a tool call that had ended.")
        if call.arguments:
            out.append(self._delta({"type": "input_json_delta", "partial_json": call.arguments}))

    def _turn(self, block: _Open, content: dict[str, Any], out: list[bytes]) -> None:
        """Have this block open: close another one, and begin."""
        if self._open == block:
            return
        self._begin(0, out)
        self._close(out)
        self._open = block
        self._index += 1
        out.append(frame("content_block_start", index=self._index, content_block=content))

    def _close(self, out: list[bytes]) -> None:
        if self._open is None:
            return
        if self._open.kind == "thinking":
            signed = signature("".join(self._thought), shown=self._wanted.shown)
            self._thought.clear()
            out.append(self._delta({"type": "signature_delta", "signature": signed}))
        out.append(frame("content_block_stop", index=self._index))
        self._open = None

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return frame("content_block_delta", index=self._index, delta=delta)

    def _end(self, done: Done, out: list[bytes]) -> None:
        self._begin(done.usage.prompt, out)
        self._close(out)
        stopped = stop_fields(done, self._wanted.task)
        out.append(frame("message_delta", delta=stopped, usage=usage_fields(done.usage)))
        out.append(frame("message_stop"))
        self._done = True
