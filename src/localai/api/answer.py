"""The whole answer of one generation, collected from its events; dialects write it out in their own shapes."""

from typing import assert_never

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
from localai.core.task import Call


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

    def calls(self) -> tuple[Call, ...]:
        """The tool calls, in their order; their arguments are JSON text."""
        return tuple(_call(pieces) for _, pieces in sorted(self._calls.items()))


def _call(pieces: list[ToolCall]) -> Call:
    return Call(
        id=next((piece.id for piece in pieces if piece.id), ""),
        name=next((piece.name for piece in pieces if piece.name), ""),
        arguments="".join(piece.arguments for piece in pieces),
    )
