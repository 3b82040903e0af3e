"""The items of a streamed response: what each says when it begins, grows and ends."""

from typing import Any, Literal, Protocol

import orjson

from localai.api.openai.logprobs import chat_tokens
from localai.api.responses.frames import Frames
from localai.api.responses.freeform import Input
from localai.api.responses.sealed import seal
from localai.api.responses.tools import Named
from localai.core.event import Chosen

Status = Literal["in_progress", "completed", "incomplete"]

_NO_LOGPROBS = b',"logprobs":[]'


class Item(Protocol):
    """An item that is being written."""

    def close(self, status: Status) -> None:
        """Say that it has ended, and how."""
        ...

    def shown(self, status: Status, /) -> dict[str, Any]:
        """The item as it is now."""
        ...


class Thinking:
    """A reasoning item: the model's thoughts, or (when a summary is asked for) its thoughts as the summary."""

    def __init__(self, frames: Frames, identifier: str, place: int, *, summary: bool, sealed: bool) -> None:
        self._frames = frames
        self._id = identifier
        self._text: list[str] = []
        self._summary = summary
        self._sealed = sealed
        self._of = {"item_id": identifier, "output_index": place}
        self._name = "response.reasoning_summary_text" if summary else "response.reasoning_text"
        self._part = "response.reasoning_summary_part" if summary else "response.content_part"
        self._at = {**self._of, ("summary_index" if summary else "content_index"): 0}
        frames.say("response.output_item.added", output_index=place, item=self.shown("in_progress"))
        frames.say(f"{self._part}.added", **self._at, part=self._said(""))
        self._pieces = frames.piece(f"{self._name}.delta", **self._at)
        self._place = place

    def say(self, text: str) -> None:
        """Add a piece."""
        self._text.append(text)
        self._pieces.say(text)

    def close(self, status: Status) -> None:
        """End it."""
        text = "".join(self._text)
        self._frames.say(f"{self._name}.done", **self._at, text=text)
        self._frames.say(f"{self._part}.done", **self._at, part=self._said(text))
        self._frames.say("response.output_item.done", output_index=self._place, item=self.shown(status))

    def shown(self, status: Status) -> dict[str, Any]:
        """The item as it is now."""
        text = "".join(self._text)
        said = [self._said(text)] if text else []
        item: dict[str, Any] = {"id": self._id, "type": "reasoning", "summary": said if self._summary else []}
        if not self._summary:
            item["content"] = said
        if self._sealed and text:
            item["encrypted_content"] = seal(text)
        return {**item, "status": status}

    def _said(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._summary else "reasoning_text", "text": text}


class Saying:
    """A message with one part of text."""

    def __init__(self, frames: Frames, identifier: str, place: int, *, logprobs: bool) -> None:
        self._frames = frames
        self._id = identifier
        self._place = place
        self._text: list[str] = []
        self._tokens: list[dict[str, Any]] = []
        self._logprobs = logprobs
        self._waiting: str | None = None
        """A piece that waits for its log-probabilities."""
        self._at = {"item_id": identifier, "output_index": place, "content_index": 0}
        frames.say("response.output_item.added", output_index=place, item=self._item([], "in_progress"))
        frames.say("response.content_part.added", **self._at, part=self._part())
        self._pieces = frames.piece("response.output_text.delta", **self._at)

    def say(self, text: str) -> None:
        """Add a piece."""
        self._flush()
        self._text.append(text)
        if self._logprobs:
            self._waiting = text
        else:
            self._pieces.say(text, _NO_LOGPROBS)

    def explain(self, tokens: tuple[Chosen, ...]) -> None:
        """Add the log-probabilities of the piece before."""
        if self._waiting is None:
            return
        told = chat_tokens(tokens)
        self._tokens += told
        text, self._waiting = self._waiting, None
        self._pieces.say(text, b',"logprobs":' + orjson.dumps(told))

    def close(self, status: Status) -> None:
        """End it."""
        self._flush()
        part = self._part()
        self._frames.say("response.output_text.done", **self._at, text=part["text"], logprobs=part["logprobs"])
        self._frames.say("response.content_part.done", **self._at, part=part)
        self._frames.say("response.output_item.done", output_index=self._place, item=self._item([part], status))

    def shown(self, status: Status) -> dict[str, Any]:
        """The item as it is now."""
        return self._item([self._part()], status)

    def _flush(self) -> None:
        if self._waiting is not None:
            self._pieces.say(self._waiting, _NO_LOGPROBS)
            self._waiting = None

    def _part(self) -> dict[str, Any]:
        return {
            "type": "output_text",
            "text": "".join(self._text),
            "annotations": [],
            "logprobs": list(self._tokens),
        }

    def _item(self, content: list[dict[str, Any]], status: Status) -> dict[str, Any]:
        return {"id": self._id, "type": "message", "status": status, "role": "assistant", "content": content}


class Calling:
    """A call of a function, or of a free-form tool."""

    def __init__(self, frames: Frames, identifier: str, place: int, *, call: str, named: Named) -> None:
        self._frames = frames
        self._id = identifier
        self._place = place
        self._call = call
        self._named = named
        self._input = Input() if named.kind == "custom" else None
        self._arguments: list[str] = []
        self._at = {"item_id": identifier, "output_index": place}
        free = self._input is not None
        self._name = "response.custom_tool_call_input" if free else "response.function_call_arguments"
        frames.say("response.output_item.added", output_index=place, item=self.shown("in_progress"))
        self._pieces = frames.piece(f"{self._name}.delta", **self._at)

    def say(self, arguments: str) -> None:
        """Add a piece of the arguments."""
        piece = arguments
        if self._input is None:
            self._arguments.append(arguments)
        else:
            piece = self._input.feed(arguments)
        if piece:
            self._pieces.say(piece)

    def close(self, status: Status) -> None:
        """End it."""
        if self._input is not None:
            rest = self._input.finish()
            if rest:
                self._pieces.say(rest)
            self._frames.say(f"{self._name}.done", **self._at, input=self._input.text)
        else:
            named = {"name": self._named.name, "arguments": "".join(self._arguments)}
            self._frames.say(f"{self._name}.done", **self._at, **named)
        self._frames.say("response.output_item.done", output_index=self._place, item=self.shown(status))

    def shown(self, status: Status) -> dict[str, Any]:
        """The item as it is now."""
        item: dict[str, Any] = {
            "id": self._id,
            "type": "function_call" if self._input is None else "custom_tool_call",
            "status": status,
            "call_id": self._call,
            "name": self._named.name,
        }
        if self._named.namespace is not None:
            item["namespace"] = self._named.namespace
        said = {"arguments": "".join(self._arguments)} if self._input is None else {"input": self._input.text}
        return {**item, **said}
