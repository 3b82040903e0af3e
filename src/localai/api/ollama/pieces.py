"""What an answer looks like: as a message (/api/chat) or as a response (/api/generate), in pieces or whole."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import orjson

from localai.api.ollama.clock import now
from localai.core.errors import InternalError
from localai.core.event import Done, ToolCall
from localai.core.task import Call

Json = dict[str, Any]


class Form(NamedTuple):
    """How the lines of one answer are written."""

    kind: Literal["chat", "generate"]
    model: str
    """The name the client asked for."""

    def line(self, text: str, thought: str = "", calls: Sequence[Json] = ()) -> Json:
        """A piece of the answer, or all of it, with `done` left to say."""
        said: Json = {"thinking": thought} if thought else {}
        head: Json = {"model": self.model, "created_at": now()}
        if self.kind == "generate":
            return {**head, "response": text, **said}
        message: Json = {"role": "assistant", "content": text, **said}
        if calls:
            message["tool_calls"] = list(calls)
        return {**head, "message": message}


def reason(done: Done) -> str:
    """Ollama's `done_reason`; a tool call ends an answer as its text does."""
    return "length" if done.finish == "length" else "stop"


def called(call: Call, index: int, *, cut: bool) -> Json | None:
    """A tool call as Ollama gives it, with its arguments as an object; None for one that was `cut` within them.

    Raises:
        InternalError: The arguments are no object, though the answer was not cut.
    """
    try:
        arguments: Any = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        if cut:
            return None
        raise InternalError("The engine wrote a tool call whose arguments are no JSON object.")
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


class Gathering:
    """Collects the pieces of tool calls: Ollama gives each call whole."""

    def __init__(self) -> None:
        self._pieces: list[ToolCall] = []
        self._index = 0

    def hear(self, piece: ToolCall) -> Json | None:
        """Take a piece; give the call before it, once that is complete."""
        ended = self.end(cut=False) if self._pieces and piece.index != self._pieces[0].index else None
        self._pieces.append(piece)
        return ended

    def end(self, *, cut: bool) -> Json | None:
        """The call that was being collected, if there is one and it is complete."""
        pieces, self._pieces = self._pieces, []
        if not pieces:
            return None
        call = Call(
            id=next((piece.id for piece in pieces if piece.id), ""),
            name=next((piece.name for piece in pieces if piece.name), ""),
            arguments="".join(piece.arguments for piece in pieces),
        )
        self._index += 1
        return called(call, self._index - 1, cut=cut)
