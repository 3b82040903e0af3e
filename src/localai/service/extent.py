"""How much one answer may hold: an engine that writes without end must not fill the gateway's memory."""

from collections.abc import Sequence

from localai.core.errors import AnswerTooLarge
from localai.core.event import Event, Logprobs, Text, Thought, ToolCall

CALLS = 256
"""Tool calls of one answer."""
ARGUMENTS = 4 * 2**20
"""Characters of the arguments of all its calls."""
TEXT = 64 * 2**20
"""Characters of its text and its thoughts."""
TOKENS = 2**20
"""Tokens with log-probabilities."""

_WORDS = (Text, Thought)


class Extent:
    """Measures an answer as it comes."""

    def __init__(self) -> None:
        self._text = 0
        self._arguments = 0
        self._tokens = 0

    def hear(self, batch: Sequence[Event]) -> None:
        """Measure a batch.

        Raises:
            AnswerTooLarge: The answer holds more than any answer may.
        """
        for event in batch:
            if isinstance(event, _WORDS):
                self._text += len(event.text)
            elif isinstance(event, ToolCall):
                self._arguments += len(event.arguments) + len(event.name)
                if event.index >= CALLS:
                    raise AnswerTooLarge(f"The engine wrote more than {CALLS} tool calls; its answer was ended.")
            elif isinstance(event, Logprobs):
                self._tokens += len(event.tokens)
        if self._text > TEXT or self._arguments > ARGUMENTS or self._tokens > TOKENS:
            raise AnswerTooLarge
