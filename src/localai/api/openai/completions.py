"""POST /v1/completions: raw prompts to tasks, events to the answer (OpenAI's older API)."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from pydantic import Field

from localai.api.answer import Answer
from localai.api.openai.accepted import Accepted
from localai.api.openai.chat import StreamOptions
from localai.api.openai.counts import timed, timing_fields, together, usage_fields
from localai.api.openai.fields import TOKEN_LIMIT, Whole
from localai.api.openai.formats import Shaped
from localai.api.openai.head import Head
from localai.api.openai.inputs import Input, Inputs
from localai.api.openai.logprobs import mean, old_tokens
from localai.api.openai.sampling import Sampled
from localai.api.openai.texts import Texts
from localai.core.errors import InvalidRequest, TaskNotSupported
from localai.core.task import Generate, Ids, Infill, Prompt, Raw

MAX_TOKENS = 16
"""Tokens generated when a request names no ceiling, as OpenAI documents it."""
GENERATIONS = 128
"""Generations of one request: prompts times `best_of` (or `n`)."""


class CompletionBody(Sampled, Shaped, Accepted):
    """A request of the completions API. Fields this server does not know are ignored."""

    prompt: Inputs
    suffix: Annotated[str, Field(max_length=2**22)] | None = None
    echo: bool | None = None
    best_of: Annotated[Whole, Field(ge=1, le=16)] | None = None
    logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None
    stream_options: StreamOptions | None = None


class Completions(NamedTuple):
    """A request as tasks: for each prompt `tries` in a row, of which the best `wanted` are given."""

    tasks: tuple[Generate, ...]
    echoes: tuple[Input, ...]
    """What each choice starts with: its prompt when it is to be echoed, else an empty text."""
    wanted: int
    tries: int
    stream: bool
    usage: bool
    logprobs: bool
    keep_alive: float | None

    def chunks(self, head: Head, echoes: Sequence[str]) -> Texts:
        """The writer of the streamed answer."""
        return Texts(
            head, echoes=echoes, prompts=len(self.tasks) // self.tries, usage=self.usage, logprobs=self.logprobs
        )


def asked(body: CompletionBody) -> Completions:
    """Translate a request.

    Raises:
        InvalidRequest: With the field at fault in `param`.
    """
    wanted = body.n or 1
    tries = body.best_of or wanted
    _check(body, wanted, tries)
    first = Generate(
        prompt=Raw(text=""),
        format=body.format(),
        max_tokens=min(body.max_tokens or MAX_TOKENS, TOKEN_LIMIT),
        stop=body.stop or (),
        logprobs=body.logprobs if body.logprobs is not None or tries == wanted else 0,
        cache=body.cache_prompt is not False,
        adapters=body.adapters(),
    )
    return Completions(
        tasks=tuple(
            msgspec.structs.replace(first, prompt=_prompt(given, body.suffix), sampling=body.sampling(attempt))
            for given in body.prompt
            for attempt in range(tries)
        ),
        echoes=tuple(given if body.echo else "" for given in body.prompt for _ in range(wanted)),
        wanted=wanted,
        tries=tries,
        stream=bool(body.stream),
        usage=body.stream_options is not None and bool(body.stream_options.include_usage),
        logprobs=body.logprobs is not None,
        keep_alive=body.keep_alive,
    )


def _check(body: CompletionBody, wanted: int, tries: int) -> None:
    if tries < wanted:
        raise InvalidRequest("`best_of` must not be smaller than `n`.", param="best_of")
    if body.stream and tries > wanted:
        raise InvalidRequest("`best_of` picks among finished texts, so it cannot be streamed.", param="best_of")
    if len(body.prompt) * tries > GENERATIONS:
        raise InvalidRequest(
            f"One request may ask for at most {GENERATIONS} texts (prompts times `n` or `best_of`).", param="prompt"
        )
    if body.echo and body.logprobs is not None:
        raise TaskNotSupported("The log-probabilities of a prompt are not available; leave out `echo`.", param="echo")


def _prompt(given: Input, suffix: str | None) -> Prompt:
    if suffix:
        if not isinstance(given, str):
            raise InvalidRequest("`suffix` needs a prompt that is text.", param="prompt")
        return Infill(prefix=given, suffix=suffix)
    return Raw(text=given) if isinstance(given, str) else Ids(ids=given)


def reply(answers: Sequence[Answer], head: Head, wanted: Completions, echoes: Sequence[str]) -> dict[str, Any]:
    """The answer object: for each prompt its best texts."""
    dones = [answer.done for answer in answers]
    kept = [
        answer
        for start in range(0, len(answers), wanted.tries)
        for answer in _best(answers[start : start + wanted.tries], wanted.wanted)
    ]
    body = {
        **head.fields("text_completion"),
        "choices": [
            {
                "index": index,
                "text": echo + answer.thought + answer.text,
                "logprobs": old_tokens(answer.tokens, len(echo)) if wanted.logprobs else None,
                "finish_reason": answer.done.finish,
            }
            for index, (answer, echo) in enumerate(zip(kept, echoes, strict=True))
        ],
        "usage": usage_fields(together([done.usage for done in dones], choices=wanted.tries)),
    }
    return {**body, "timings": timing_fields(dones[0])} if timed(dones[0]) else body


def _best(answers: Sequence[Answer], wanted: int) -> Sequence[Answer]:
    if len(answers) == wanted:
        return answers
    return sorted(answers, key=lambda answer: mean(answer.tokens), reverse=True)[:wanted]
