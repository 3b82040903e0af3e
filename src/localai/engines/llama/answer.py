"""One answer under way: chunks in, events out, and the account at the end."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from localai.core.errors import InternalError, LocalAIError
from localai.core.event import (
    Chosen,
    Done,
    Event,
    Logprobs,
    Progress,
    Text,
    Thought,
    Timings,
    TokenLogprob,
    ToolCall,
    Usage,
)
from localai.engines.llama import chunks
from localai.engines.llama.arguments import Offered, valid
from localai.engines.llama.calls import MOST_CALLS, Plain, Sink, new_id
from localai.engines.llama.problems import TooLong, complaint

_LEAST = -9999.0
_SILENCE = 1.0
"""Seconds without an event after which a held-back answer says that it goes on."""
_NATIVE = 4 * 1024 * 1024
"""Characters of all native calls together; a longer answer is stopped."""


class Answer:
    """Feed it chunks until it says stop; `finish` ends the stream."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        stop: threading.Event,
        *,
        check: Any = None,
        logprobs: int | None = None,
        silent: bool = False,
    ) -> None:
        """Begin.

        Args:
            emit: Takes the events.
            stop: Set when nobody waits any more.
            check: A validator that the whole text has to satisfy when it ends by itself.
            logprobs: How many alternatives to report; None for no log-probabilities at all.
            silent: Drop the text: the caller asked for no token.
        """
        self.error: LocalAIError | None = None
        self._emit = emit
        self._stop = stop
        self._sink: Sink = Plain(self._out)
        self._offered: Offered | None = None
        self._check = check
        self._logprobs = logprobs
        self._silent = silent
        self._text: list[str] = []
        self._native: dict[int, list[str]] = {}
        self._native_size = 0
        self._prompt = 0
        self._thought = 0
        self._finish = "stop"
        self._stopped = ""
        self._usage = Usage()
        self._timings = Timings()
        self._spoke = time.monotonic()

    def use(self, make: Callable[[Callable[[Event], None]], Sink]) -> None:
        """Put a sink in place of the plain one; it emits through this answer."""
        self._sink = make(self._out)

    def judge(self, offered: Offered) -> None:
        """Take the tools that calls parsed by the template are judged by."""
        self._offered = offered

    def feed(self, data: bytes) -> bool:
        """Take a chunk; True asks the engine to stop."""
        chunk = chunks.decode(data)
        if chunk.choices:
            self._choice(chunk.choices[0])
        if chunk.prompt_progress is not None:
            self._reading(chunk.prompt_progress)
        elif time.monotonic() - self._spoke > _SILENCE:
            self._out(Progress(stage="prefill", done=self._prompt, total=self._prompt))
        if chunk.verbose is not None and chunk.verbose.stopping_word:
            self._stopped = chunk.verbose.stopping_word
        if chunk.usage is not None:
            self._account(chunk)
        if chunk.error is not None:
            self.error = self._problem(chunk.error)
        return self.error is not None or self._stop.is_set()

    def finish(self) -> None:
        """Give out what is held back, check what has to be checked, and emit Done.

        Raises:
            LocalAIError: The engine refused the request, or broke the promise of a format.
        """
        if self.error is not None:
            raise self.error
        count = self._sink.finish() + self._native_calls()
        finish: Literal["stop", "length", "tool_calls"] = "length" if self._finish == "length" else "stop"
        if count and finish == "stop":
            finish = "tool_calls"
        ended = finish == "stop" and not self._stopped and not self._stop.is_set()
        if self._check is not None and ended and not count:
            self._verify()
        self._emit(Done(finish=finish, usage=self._usage, timings=self._timings, stop=self._stopped or None))

    def _choice(self, choice: chunks.Choice) -> None:
        if choice.finish_reason is not None:
            self._finish = choice.finish_reason
        delta = choice.delta
        if delta is None:
            if choice.text:
                self._said(choice.text)
        else:
            if delta.content:
                self._said(delta.content)
            if delta.reasoning_content:
                self._thought += 1
                self._out(Thought(text=delta.reasoning_content))
            for piece in delta.tool_calls:
                self._keep(piece)
        if choice.logprobs is not None and self._logprobs is not None and choice.logprobs.content:
            self._out(Logprobs(tokens=tuple(_chosen(token, self._logprobs) for token in choice.logprobs.content)))

    def _said(self, text: str) -> None:
        if self._silent:
            return
        if self._check is not None:
            self._text.append(text)
        self._sink.feed(text)

    def _out(self, event: Event) -> None:
        self._spoke = time.monotonic()
        self._emit(event)

    def _reading(self, progress: chunks.Reading) -> None:
        self._prompt = progress.total
        self._out(Progress(stage="prefill", done=progress.processed, total=progress.total))

    def _account(self, chunk: chunks.Chunk) -> None:
        usage = chunk.usage or chunks.Consumed()
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
        completion = 0 if self._silent else usage.completion_tokens
        self._usage = Usage(
            prompt=usage.prompt_tokens, completion=completion, cached=cached, thought=min(self._thought, completion)
        )
        self._times(chunk.timings)

    def _times(self, times: chunks.Times | None) -> None:
        if times is not None:
            self._timings = Timings(prompt=times.prompt_ms / 1000, generate=times.predicted_ms / 1000)

    def _problem(self, error: chunks.Problem) -> LocalAIError:
        if error.type == "exceed_context_size_error":
            return TooLong(error.n_prompt_tokens, error.n_ctx)
        return complaint(error.message)

    def _keep(self, piece: chunks.CallPiece) -> None:
        """Hold a native call until it is whole: only then can its arguments be judged."""
        if piece.index >= MOST_CALLS:
            return
        kept = self._native.setdefault(piece.index, ["", ""])
        kept[0] += piece.function.name or ""
        kept[1] += piece.function.arguments or ""
        self._native_size += len(piece.function.arguments or "")
        if self._native_size > _NATIVE:
            self.error = InternalError("The model wrote tool calls without end.")

    def _native_calls(self) -> int:
        """Emit the calls that the template parsed; what is no valid call comes out as text."""
        count = 0
        for name, given in self._native.values():
            arguments = self._offered.accept(name, given) if self._offered is not None else None
            if arguments is None:
                self._out(Text(text=json.dumps({"name": name, "arguments": given}, ensure_ascii=False)))
            else:
                self._out(ToolCall(index=count, id=new_id(), name=name, arguments=arguments))
                count += 1
        return count

    def _verify(self) -> None:
        """The grammar is meant to make this true; it is checked all the same."""
        try:
            value = json.loads("".join(self._text))
        except (ValueError, RecursionError):
            raise InternalError("The answer is not the JSON it had to be; this is a fault of the server.") from None
        if not valid(self._check, value):
            raise InternalError("The answer does not satisfy the schema; this is a fault of the server.")


def _chosen(token: chunks.Picked, top: int) -> Chosen:
    return Chosen(token=_token(token), top=tuple(_token(other) for other in token.top_logprobs[:top]))


def _token(token: chunks.Alternative) -> TokenLogprob:
    logprob = token.logprob if token.logprob is not None else _LEAST
    return TokenLogprob(id=token.id, token=token.token, logprob=max(logprob, _LEAST), data=bytes(token.bytes))
