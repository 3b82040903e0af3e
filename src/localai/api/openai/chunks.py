"""The chunks of a streamed chat answer, byte by byte as OpenAI sends them.

Everything that does not change within a stream is serialised once; a piece of text costs one JSON string and one
concatenation.
"""

import time
from collections.abc import Callable
from typing import Any, assert_never

import orjson

from localai.api.openai.choice import finish
from localai.api.openai.counts import timed, timing_fields, together, usage_fields
from localai.api.openai.custom import text_of
from localai.api.openai.head import Head
from localai.api.openai.logprobs import chat_tokens
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
    Usage,
    Vector,
)

END = b"data: [DONE]\n\n"


class Chunks:
    """Turns the events of one answer (of `choices` choices) into server-sent events."""

    def __init__(
        self,
        head: Head,
        *,
        choices: int = 1,
        usage: bool = False,
        logprobs: bool = False,
        legacy: bool = False,
        progress: bool = False,
        customs: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the templates.

        Args:
            head: What every chunk starts with.
            choices: How many choices will end.
            usage: End with a chunk of usage, and give `usage: null` before.
            logprobs: Give each piece of text with its log-probabilities.
            legacy: Give the first tool call as `function_call`.
            progress: Tell how much of the prompt is computed (llama.cpp's `prompt_progress`).
            customs: Names of custom tools; a call of theirs comes in one piece, at the end.
            clock: Seconds, for the times in `prompt_progress`.
        """
        self._start = b"data: " + orjson.dumps(head.fields("chat.completion.chunk"))[:-1]
        self._tail = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._choices = [
            _Choice(self._start, self._tail, index, logprobs=logprobs, legacy=legacy, customs=customs)
            for index in range(choices)
        ]
        self._usage = usage
        self._progress = progress
        self._clock = clock
        self._began = clock()
        self._ended: dict[int, Usage] = {}

    def feed(self, index: int, batch: tuple[Event, ...]) -> bytes:
        """The chunks of a batch of choice `index`, in one piece; ends with `[DONE]` once all choices are done."""
        choice = self._choices[index]
        out: list[bytes] = []
        for event in batch:
            if type(event) is Text:
                choice.say(event.text, out)
            elif type(event) is Progress:
                if self._progress and event.stage == "prefill":
                    out.append(self._reading(index, event))
            else:
                choice.hear(event, out)
                if type(event) is Done:
                    self._ended[index] = event.usage
        if self.done:
            out.append(self._end())
        return b"".join(out)

    @property
    def done(self) -> bool:
        """Whether every choice has ended."""
        return len(self._ended) == len(self._choices)

    def _end(self) -> bytes:
        if not self._usage:
            return END
        usages = [self._ended[index] for index in sorted(self._ended)]
        total = usage_fields(together(usages, choices=len(usages)))
        return self._start + b',"choices":[],"usage":' + orjson.dumps(total) + b"}\n\n" + END

    def _reading(self, index: int, progress: Progress) -> bytes:
        fields = {
            "total": int(progress.total),
            "cache": 0,
            "processed": int(progress.done),
            "time_ms": round((self._clock() - self._began) * 1000),
        }
        delta = orjson.dumps([{"index": index, "delta": {}, "logprobs": None, "finish_reason": None}])
        return self._start + b',"choices":' + delta + b',"prompt_progress":' + orjson.dumps(fields) + self._tail


class _Choice:
    """The chunks of one choice; remembers whether it began and the text that waits for its log-probabilities."""

    def __init__(
        self, start: bytes, tail: bytes, index: int, *, logprobs: bool, legacy: bool, customs: frozenset[str]
    ) -> None:
        self._open = start + b',"choices":[{"index":' + str(index).encode() + b',"delta":{'
        self._tail = tail
        self._shut = b'},"logprobs":null,"finish_reason":null}]' + tail
        self._text = self._open + b'"content":'
        self._logprobs = logprobs
        self._legacy = legacy
        self._customs = customs
        self._inputs: dict[int, list[ToolCall]] = {}
        self._begun = False
        self._waiting: str | None = None

    def say(self, text: str, out: list[bytes]) -> None:
        """Add a piece of the answer."""
        if not self._begun:
            self._begin(b'""', out)
        if self._logprobs:
            self._flush(out)
            self._waiting = text
        else:
            out.append(self._text + orjson.dumps(text) + self._shut)

    def hear(self, event: Event, out: list[bytes]) -> None:
        """Add any other event."""
        match event:
            case Logprobs(tokens=tokens):
                self._explain(tokens, out)
                return
            case Text() | Progress() | Vector() | Score() | Tokens() | Failed():
                return
            case _:
                pass
        self._flush(out)
        if not self._begun:
            self._begin(b"null" if isinstance(event, ToolCall) else b'""', out)
        match event:
            case Thought(text=text):
                out.append(self._open + b'"reasoning_content":' + orjson.dumps(text) + self._shut)
            case ToolCall():
                self._call(event, out)
            case Done():
                out.extend(self._custom(index, pieces) for index, pieces in self._inputs.items())
                out.append(self._last(event))
            case _:
                assert_never(event)

    def _begin(self, content: bytes, out: list[bytes]) -> None:
        self._begun = True
        out.append(self._open + b'"role":"assistant","content":' + content + b',"refusal":null' + self._shut)

    def _flush(self, out: list[bytes]) -> None:
        if self._waiting is not None:
            out.append(self._text + orjson.dumps(self._waiting) + self._shut)
            self._waiting = None

    def _explain(self, tokens: tuple[Chosen, ...], out: list[bytes]) -> None:
        """Send the waiting text together with the log-probabilities of its tokens."""
        if self._waiting is None:
            return
        text, self._waiting = self._waiting, None
        logprobs = orjson.dumps({"content": chat_tokens(tokens), "refusal": None})
        shut = b'},"logprobs":' + logprobs + b',"finish_reason":null}]' + self._tail
        out.append(self._text + orjson.dumps(text) + shut)

    def _custom(self, index: int, pieces: list[ToolCall]) -> bytes:
        given = "".join(piece.arguments for piece in pieces)
        call = {
            "index": index,
            "id": pieces[0].id,
            "type": "custom",
            "custom": {"name": pieces[0].name, "input": text_of(given)},
        }
        return self._open + b'"tool_calls":' + orjson.dumps([call]) + self._shut

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        if call.index in self._inputs or call.name in self._customs:
            self._inputs.setdefault(call.index, []).append(call)
            return
        function: dict[str, Any] = {"name": call.name, "arguments": call.arguments} if call.name else {}
        if not function:
            function = {"arguments": call.arguments}
        if self._legacy:
            if call.index == 0:
                out.append(self._open + b'"function_call":' + orjson.dumps(function) + self._shut)
            return
        piece: dict[str, Any] = {"index": call.index}
        if call.id:
            piece |= {"id": call.id, "type": "function"}
        out.append(self._open + b'"tool_calls":' + orjson.dumps([{**piece, "function": function}]) + self._shut)

    def _last(self, done: Done) -> bytes:
        reason = orjson.dumps(finish(done, legacy=self._legacy))
        timings = b',"timings":' + orjson.dumps(timing_fields(done)) if timed(done) else b""
        return self._open + b'},"logprobs":null,"finish_reason":' + reason + b"}]" + timings + self._tail
