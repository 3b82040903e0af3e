"""The chunks that llama.cpp streams, as typed values: only the fields that we use are ever built."""

import msgspec


class Alternative(msgspec.Struct):
    """A token with its log-probability."""

    id: int
    token: str
    bytes: list[int] = []
    logprob: float | None = None


class Picked(Alternative):
    """A generated token with the most likely ones at its place."""

    top_logprobs: list[Alternative] = []


class Probabilities(msgspec.Struct):
    """The tokens of a chunk."""

    content: list[Picked] = []


class Function(msgspec.Struct):
    """A piece of a call."""

    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct):
    """A piece of a call with its number."""

    index: int = 0
    function: Function = msgspec.field(default_factory=Function)


class Delta(msgspec.Struct):
    """What a chunk adds to a chat answer."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallPiece] = []


class Choice(msgspec.Struct):
    """The one answer; `delta` in chats, `text` in completions."""

    delta: Delta | None = None
    text: str = ""
    finish_reason: str | None = None
    logprobs: Probabilities | None = None


class Reading(msgspec.Struct):
    """How far the prompt was read, in tokens."""

    total: int = 0
    cache: int = 0
    processed: int = 0


class Cached(msgspec.Struct):
    """Tokens that were not computed again."""

    cached_tokens: int = 0


class Consumed(msgspec.Struct):
    """Tokens of the request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Cached | None = None


class Times(msgspec.Struct):
    """Milliseconds and tokens."""

    prompt_ms: float = 0
    predicted_ms: float = 0


class Verbose(msgspec.Struct):
    """Only there when stop strings were given."""

    stopping_word: str = ""


class Problem(msgspec.Struct):
    """An error in place of an answer."""

    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class Chunk(msgspec.Struct, rename={"verbose": "__verbose"}):
    """One event of a stream."""

    choices: list[Choice] = []
    usage: Consumed | None = None
    prompt_progress: Reading | None = None
    timings: Times | None = None
    verbose: Verbose | None = None
    error: Problem | None = None


decode = msgspec.json.Decoder(Chunk).decode
