"""The chunks of a streamed completion, byte by byte as OpenAI's older API sends them."""

from collections.abc import Sequence

import orjson

from localai.api.openai.chunks import END
from localai.api.openai.counts import timed, timing_fields, together, usage_fields
from localai.api.openai.head import Head
from localai.api.openai.logprobs import old_tokens
from localai.core.event import Chosen, Done, Event, Logprobs, Text, Thought, Usage


class Texts:
    """Turns the events of all choices of an answer into server-sent events."""

    def __init__(self, head: Head, *, echoes: Sequence[str], prompts: int, usage: bool, logprobs: bool) -> None:
        """Prepare the templates.

        Args:
            head: What every chunk starts with.
            echoes: For each choice what its text starts with (may be empty).
            prompts: How many prompts the choices share equally.
            usage: End with a chunk of usage, and give `usage: null` before.
            logprobs: Give each piece of text with its log-probabilities.
        """
        self._start = b"data: " + orjson.dumps(head.fields("text_completion"))[:-1]
        self._tail = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._echoes = list(echoes)
        self._begun = [not echo for echo in echoes]
        self._said = [len(echo) for echo in echoes]
        self._waiting: list[str | None] = [None] * len(echoes)
        self._per_prompt = len(echoes) // prompts
        self._usage = usage
        self._logprobs = logprobs
        self._ended: dict[int, Usage] = {}

    @property
    def done(self) -> bool:
        """Whether every choice has ended."""
        return len(self._ended) == len(self._echoes)

    def feed(self, index: int, batch: tuple[Event, ...]) -> bytes:
        """The chunks of a batch of choice `index`, in one piece; ends with `[DONE]` once all choices are done."""
        out: list[bytes] = []
        for event in batch:
            match event:
                case Text(text=text) | Thought(text=text):
                    self._say(index, text, out)
                case Logprobs(tokens=tokens):
                    self._explain(index, tokens, out)
                case Done():
                    self._finish(index, event, out)
                case _:
                    pass
        if self.done:
            out.append(self._end())
        return b"".join(out)

    def _say(self, index: int, text: str, out: list[bytes]) -> None:
        self._begin(index, out)
        if self._logprobs:
            self._flush(index, out)
            self._waiting[index] = text
        else:
            out.append(self._chunk(index, text))

    def _explain(self, index: int, tokens: tuple[Chosen, ...], out: list[bytes]) -> None:
        text, self._waiting[index] = self._waiting[index], None
        if text is None:
            return
        logprobs = orjson.dumps(old_tokens(tokens, self._said[index]))
        self._said[index] += len(text)
        out.append(self._chunk(index, text, logprobs=logprobs))

    def _finish(self, index: int, done: Done, out: list[bytes]) -> None:
        self._begin(index, out)
        self._flush(index, out)
        timings = b',"timings":' + orjson.dumps(timing_fields(done)) if timed(done) else b""
        out.append(self._chunk(index, "", finish=orjson.dumps(done.finish), extra=timings))
        self._ended[index] = done.usage

    def _begin(self, index: int, out: list[bytes]) -> None:
        if not self._begun[index]:
            self._begun[index] = True
            out.append(self._chunk(index, self._echoes[index]))

    def _flush(self, index: int, out: list[bytes]) -> None:
        text, self._waiting[index] = self._waiting[index], None
        if text is not None:
            self._said[index] += len(text)
            out.append(self._chunk(index, text))

    def _chunk(
        self, index: int, text: str, *, logprobs: bytes = b"null", finish: bytes = b"null", extra: bytes = b""
    ) -> bytes:
        return b"".join(
            (
                self._start,
                b',"choices":[{"index":%d,"text":' % index,
                orjson.dumps(text),
                b',"logprobs":',
                logprobs,
                b',"finish_reason":',
                finish,
                b"}]",
                extra,
                self._tail,
            )
        )

    def _end(self) -> bytes:
        if not self._usage:
            return END
        usages = [self._ended[index] for index in sorted(self._ended)]
        total = usage_fields(together(usages, choices=self._per_prompt))
        return self._start + b',"choices":[],"usage":' + orjson.dumps(total) + b"}\n\n" + END
