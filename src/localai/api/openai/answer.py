"""One choice of an answer, collected from its events."""

from typing import Any, assert_never

from localai.api.openai.logprobs import chat_tokens
from localai.core.errors import InternalError
from localai.core.event import (
    Chosen,
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
    Vector,
)


class Answer:
    """Collects the events of one generation."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thought: list[str] = []
        self._calls: dict[int, list[ToolCall]] = {}
        self._said = False
        self.tokens: list[Chosen] = []
        """The tokens of the text, when log-probabilities were asked for."""
        self._done: Done | None = None

    def hear(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case Text(text=text):
                self._text.append(text)
                self._said = True
            case Thought(text=text):
                self._thought.append(text)
                self._said = False
            case ToolCall():
                self._calls.setdefault(event.index, []).append(event)
                self._said = False
            case Logprobs(tokens=tokens):
                if self._said:
                    self.tokens.extend(tokens)
            case Done():
                self._done = event
            case Progress() | Vector() | Score() | Tokens() | Failed():
                pass
            case _:
                assert_never(event)

    @property
    def done(self) -> Done:
        """How the generation ended.

        Raises:
            InternalError: It did not.
        """
        if self._done is None:
            raise InternalError("The engine stopped without ending its answer.")
        return self._done

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self._text)

    @property
    def thought(self) -> str:
        """The whole reasoning."""
        return "".join(self._thought)

    def calls(self) -> list[dict[str, Any]]:
        """The tool calls, in the shape of the chat API."""
        return [_call(pieces) for _, pieces in sorted(self._calls.items())]

    def choice(self, index: int, *, logprobs: bool, legacy: bool) -> dict[str, Any]:
        """The choice object of a chat answer; `legacy` gives the first call as `function_call`."""
        return {
            "index": index,
            "message": self._message(legacy=legacy),
            "logprobs": {"content": chat_tokens(self.tokens), "refusal": None} if logprobs else None,
            "finish_reason": finish(self.done, legacy=legacy),
        }

    def _message(self, *, legacy: bool) -> dict[str, Any]:
        calls = self.calls()
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if calls and not self._text else self.text,
            "refusal": None,
            "annotations": [],
        }
        if self._thought:
            message["reasoning_content"] = self.thought
        if calls and legacy:
            message["function_call"] = calls[0]["function"]
        elif calls:
            message["tool_calls"] = calls
        return message


def finish(done: Done, *, legacy: bool) -> str:
    """OpenAI's `finish_reason`."""
    return "function_call" if legacy and done.finish == "tool_calls" else done.finish


def _call(pieces: list[ToolCall]) -> dict[str, Any]:
    return {
        "id": next((piece.id for piece in pieces if piece.id), ""),
        "type": "function",
        "function": {
            "name": next((piece.name for piece in pieces if piece.name), ""),
            "arguments": "".join(piece.arguments for piece in pieces),
        },
    }
