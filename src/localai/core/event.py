"""What can come back: the frozen union `Event`. Every answer ends with exactly one Done or Failed."""

from typing import Literal

from localai.core.task import Value


class Progress(Value, frozen=True, tag="progress"):
    """How far the request is before its first output. `done` and `total` are tokens for "prefill", else 0..1."""

    stage: Literal["queued", "loading", "prefill"]
    done: float = 0
    total: float = 0


class Text(Value, frozen=True, tag="text"):
    """A piece of the answer; the pieces joined are the answer. Always whole UTF-8 characters."""

    text: str


class Thought(Value, frozen=True, tag="thought"):
    """A piece of the model's reasoning, kept apart from the answer."""

    text: str


class ToolCall(Value, frozen=True, tag="call"):
    """A piece of a tool call: the first of an `index` carries id and name, all carry arguments to append."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class TokenLogprob(Value, frozen=True):
    """A token with its natural log-probability (never -inf: clamped to -9999)."""

    id: int
    token: str
    logprob: float
    data: bytes = b""
    """The token's own bytes: `token` may hold a replacement character when it is a part of a character."""


class Chosen(Value, frozen=True):
    """A generated token and its most likely alternatives."""

    token: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()


class Logprobs(Value, frozen=True, tag="logprobs"):
    """The log-probabilities of the tokens of the piece that came just before."""

    tokens: tuple[Chosen, ...]


class Vector(Value, frozen=True, tag="vector"):
    """The embedding of input `index`: little-endian float32, 4 bytes a dimension."""

    index: int
    data: bytes


class Score(Value, frozen=True, tag="score"):
    """The relevance of document `index`; larger is more relevant."""

    index: int
    score: float


class Tokens(Value, frozen=True, tag="tokens"):
    """Token ids and the bytes each stands for."""

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...] = ()


class Usage(Value, frozen=True):
    """What was consumed, in tokens. `cached` of the prompt's tokens were not computed again."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    thought: int = 0


class Timings(Value, frozen=True):
    """Seconds spent by the engine on the prompt and on generating."""

    prompt: float = 0
    generate: float = 0


class Done(Value, frozen=True, tag="done"):
    """The answer is complete."""

    finish: Literal["stop", "length", "tool_calls"] = "stop"
    usage: Usage = Usage()
    timings: Timings = Timings()
    stop: str | None = None
    """The stop string that ended the text, when one did."""


class Failed(Value, frozen=True, tag="failed"):
    """The answer ends here with an error of `core.errors` (by its code)."""

    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None


Event = Progress | Text | Thought | ToolCall | Logprobs | Vector | Score | Tokens | Done | Failed

ENDS = (Done, Failed)
"""The events that are the last of their stream (a tuple, as `isinstance` would build a union anew each time)."""
