"""POST /completion and /infill: llama.cpp's own completions to tasks, events to its answers."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, cast

import orjson
from pydantic import Field

from localai.api.answer import Answer
from localai.api.merge import Batch
from localai.api.openai.counts import timing_fields
from localai.api.openai.fields import TOKEN_LIMIT, Body, Whole
from localai.api.openai.formats import Shaped
from localai.api.openai.inputs import Input, Inputs
from localai.api.openai.sampling import Sampled
from localai.core.errors import InvalidRequest
from localai.core.event import Chosen, Done, Logprobs, Text, Thought, TokenLogprob
from localai.core.task import Generate, Ids, Infill, Prompt, Raw

EXTRAS = 256
"""Other files of one request."""
PROMPTS = 64
"""Prompts of one request."""

Long = Annotated[str, Field(max_length=2**22)]


class ExtraBody(Body):
    """Another file as context."""

    filename: str = Field(default="", max_length=4096)
    text: Long = ""


class NativeBody(Sampled, Shaped):
    """What both routes share. Fields this server does not know are ignored."""

    n_predict: Annotated[Whole, Field(ge=-2, le=TOKEN_LIMIT)] | None = None
    n_probs: Annotated[Whole, Field(ge=0, le=100)] | None = None
    response_fields: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=64)] | None = None


class CompletionBody(NativeBody):
    """A text to continue."""

    prompt: Inputs


class InfillBody(NativeBody):
    """A gap to fill: what is before and behind it, what the answer starts with, other files."""

    input_prefix: Long = ""
    input_suffix: Long = ""
    input_extra: Annotated[list[ExtraBody], Field(max_length=EXTRAS)] | None = None
    prompt: Long = ""


class Asked(NamedTuple):
    """A request as tasks, one for each prompt."""

    tasks: tuple[Generate, ...]
    stream: bool
    probabilities: bool
    fields: tuple[str, ...]
    keep_alive: float | None


def completion(body: CompletionBody) -> Asked:
    """Translate a request for continuations.

    Raises:
        InvalidRequest: Too many prompts, or several to stream.
    """
    if len(body.prompt) > PROMPTS:
        raise InvalidRequest(f"One request may have at most {PROMPTS} prompts.", param="prompt")
    if body.stream and len(body.prompt) > 1:
        raise InvalidRequest("Several prompts cannot be streamed.", param="prompt")
    return _asked(body, [_prompt(given) for given in body.prompt])


def infill(body: InfillBody) -> Asked:
    """Translate a request to fill a gap."""
    extra = tuple((file.filename, file.text) for file in body.input_extra or ())
    gap = Infill(prefix=body.input_prefix, suffix=body.input_suffix, prompt=body.prompt, extra=extra)
    return _asked(body, [gap])


def _prompt(given: Input) -> Prompt:
    return Raw(text=given) if isinstance(given, str) else Ids(ids=given)


def _asked(body: NativeBody, prompts: Sequence[Prompt]) -> Asked:
    limit = body.n_predict if body.n_predict is not None else body.max_tokens
    tasks = [
        Generate(
            prompt=prompt,
            format=body.format(),
            sampling=body.sampling(),
            max_tokens=None if limit is None or limit < 0 else limit,
            stop=body.stop or (),
            logprobs=body.n_probs or None,
            cache=body.cache_prompt is not False,
            adapters=body.adapters(),
        )
        for prompt in prompts
    ]
    return Asked(
        tasks=tuple(tasks),
        stream=bool(body.stream),
        probabilities=bool(body.n_probs),
        fields=tuple(body.response_fields or ()),
        keep_alive=body.keep_alive,
    )


def reply(answers: Sequence[Answer], model: str, wanted: Asked) -> Any:
    """The answer object; a list of them for several prompts."""
    whole = [_whole(answer, index, model, wanted) for index, answer in enumerate(answers)]
    return whole[0] if len(whole) == 1 else whole


def _whole(answer: Answer, index: int, model: str, wanted: Asked) -> dict[str, Any]:
    text = answer.thought + answer.text
    written: dict[str, Any] = {"index": index, "content": text, "tokens": [], **_end(answer.done, model)}
    if wanted.probabilities:
        written["completion_probabilities"] = _probabilities(answer.tokens)
    return _picked(written, wanted.fields)


def _end(done: Done, model: str) -> dict[str, Any]:
    usage = done.usage
    kind = "limit" if done.finish == "length" else "word" if done.stop else "eos"
    return {
        "stop": True,
        "stop_type": kind,
        "stopping_word": done.stop or "",
        "model": model,
        "tokens_predicted": usage.completion,
        "tokens_evaluated": usage.prompt,
        "tokens_cached": usage.cached,
        "truncated": False,
        "timings": timing_fields(done),
    }


def _probabilities(tokens: Sequence[Chosen]) -> list[dict[str, Any]]:
    return [{**_token(each.token), "top_logprobs": [_token(top) for top in each.top]} for each in tokens]


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {
        "id": token.id,
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.data or token.token.encode()),
    }


def _picked(answer: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Only these fields, when there are any; `a/b` is the field `b` of `a`, under that whole name."""
    if not fields:
        return answer
    found: dict[str, Any] = {}
    for field in fields:
        value: Any = answer
        for step in field.split("/"):
            value = cast("dict[str, Any]", value).get(step) if isinstance(value, dict) else None
        if value is not None:
            found[field] = value
    return found


class Pieces:
    """Turns the events of one answer into llama.cpp's server-sent events; its last one says `stop: true`."""

    def __init__(self, model: str, wanted: Asked) -> None:
        self._model = model
        self._wanted = wanted
        self._waiting: str | None = None
        """Text whose probabilities may still come."""
        self.done = False
        """Whether the answer has ended."""

    def feed(self, index: int, batch: Batch) -> bytes:
        """The events for a batch."""
        out: list[bytes] = []
        for event in batch:
            match event:
                case Text(text=text) | Thought(text=text):
                    self._flush(index, out)
                    self._waiting = text
                case Logprobs(tokens=tokens):
                    self._flush(index, out, tokens)
                case Done():
                    self._flush(index, out)
                    self.done = True
                    last: dict[str, Any] = {"index": index, "content": "", "tokens": [], **_end(event, self._model)}
                    out.append(_frame(_picked(last, self._wanted.fields)))
                case _:
                    pass
        if not self._wanted.probabilities:
            self._flush(index, out)
        return b"".join(out)

    def _flush(self, index: int, out: list[bytes], tokens: Sequence[Chosen] = ()) -> None:
        """Send the text that waits, with the probabilities of its tokens."""
        if self._waiting is None:
            return
        piece: dict[str, Any] = {"index": index, "content": self._waiting, "tokens": [], "stop": False}
        if tokens and self._wanted.probabilities:
            piece["completion_probabilities"] = _probabilities(tokens)
        out.append(_frame(piece))
        self._waiting = None


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
