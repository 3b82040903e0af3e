"""The lines of a streamed answer (NDJSON), and the answer as one object."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, assert_never

from localai.api.answer import Answer
from localai.api.merge import Batch, Numbered
from localai.api.ollama.clock import Clock
from localai.api.ollama.pieces import Form, Gathering, Json, called, reason
from localai.api.openai.logprobs import chat_tokens
from localai.api.replies import line
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

Ending = Callable[[str], Awaitable[Json]]
"""From the whole text of an answer to what its last line says besides (the `context` of a generation)."""


class Lines:
    """Turns the events of one answer into lines; the last is left to `last`."""

    def __init__(self, form: Form, *, logprobs: bool = False) -> None:
        self._form = form
        self._logprobs = logprobs
        self._calls = Gathering()
        self._waiting: str | None = None
        self._text: list[str] = []
        self.done: Done | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._text)

    def feed(self, batch: Batch) -> bytes:
        """The lines of a batch, in one piece; may be empty."""
        out: list[bytes] = []
        for event in batch:
            self._hear(event, out)
        return b"".join(out)

    def last(self, figures: Json) -> bytes:
        """The line that ends the stream.

        Raises:
            InternalError: The engine stopped without ending its answer.
        """
        if self.done is None:
            raise InternalError("The engine stopped without ending its answer.")
        return line({**self._form.line(""), "done": True, "done_reason": reason(self.done), **figures})

    def _hear(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Text(text=text):
                self._say(text, out)
            case Thought(text=text):
                self._flush(out)
                out.append(self._line("", thought=text))
            case ToolCall():
                self._flush(out)
                self._call(self._calls.hear(event), out)
            case Logprobs(tokens=tokens):
                self._explain(tokens, out)
            case Done():
                self._flush(out)
                self._call(self._calls.end(cut=event.finish == "length"), out)
                self.done = event
            case Progress() | Vector() | Score() | Tokens() | Failed():
                pass
            case _:
                assert_never(event)

    def _say(self, text: str, out: list[bytes]) -> None:
        self._text.append(text)
        if not self._logprobs:
            out.append(self._line(text))
            return
        self._flush(out)
        self._waiting = text

    def _flush(self, out: list[bytes]) -> None:
        if self._waiting is not None:
            out.append(self._line(self._waiting))
            self._waiting = None

    def _explain(self, tokens: tuple[Chosen, ...], out: list[bytes]) -> None:
        """Send the waiting text together with the log-probabilities of its tokens."""
        if self._waiting is not None:
            out.append(self._line(self._waiting, logprobs=chat_tokens(tokens)))
            self._waiting = None

    def _call(self, call: Json | None, out: list[bytes]) -> None:
        if call is not None:
            out.append(self._line("", calls=[call]))

    def _line(self, text: str, **more: Any) -> bytes:
        tokens = more.pop("logprobs", None)
        fields = self._form.line(text, **more)
        return line({**fields, "done": False} if tokens is None else {**fields, "done": False, "logprobs": tokens})


async def stream(
    merged: AsyncGenerator[Numbered, None], lines: Lines, clock: Clock, ending: Ending | None
) -> AsyncGenerator[bytes, None]:
    """The bytes of the stream, one item for each batch that has something to say.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    async with aclosing(merged):
        async for _, batch in merged:
            clock.hear(batch)
            data = lines.feed(batch)
            if data:
                yield data
    figures = clock.fields(lines.done) if lines.done is not None else {}
    more = await ending(lines.text) if ending is not None and lines.done is not None else {}
    yield lines.last({**more, **figures})


async def whole(
    merged: AsyncGenerator[Numbered, None], form: Form, clock: Clock, ending: Ending | None, *, logprobs: bool
) -> Json:
    """The whole answer as one object.

    Raises:
        LocalAIError: The generation failed.
    """
    answer = Answer()
    async with aclosing(merged):
        async for _, batch in merged:
            clock.hear(batch)
            for event in batch:
                answer.hear(event)
    done = answer.done
    figures = clock.fields(done)
    cut = done.finish == "length"
    calls = [call for index, made in enumerate(answer.calls()) if (call := called(made, index, cut=cut))]
    body = {**form.line(answer.text, answer.thought, calls), "done": True, "done_reason": reason(done)}
    if logprobs:
        body["logprobs"] = chat_tokens(answer.tokens)
    more = await ending(answer.text) if ending is not None else {}
    return {**body, **more, **figures}
