"""What can be asked: the frozen union `Task` that every dialect translates into and every engine answers."""

from typing import Any, Literal

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of the values our processes exchange: frozen, named fields, nothing unknown."""


class Sampling(Value, frozen=True):
    """How the next token is chosen. A field that is None takes the model's own default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    min_keep: int | None = None
    samplers: tuple[str, ...] | None = None
    seed: int | None = None
    ignore_eos: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Pairs of token id and bias (added to the logit; -100 forbids, 100 forces)."""


class TextPart(Value, frozen=True, tag="text"):
    """A piece of text in a message."""

    text: str


class ImagePart(Value, frozen=True, tag="image"):
    """An image in a message, as the bytes of a PNG, JPEG, WebP or GIF file."""

    data: bytes


class AudioPart(Value, frozen=True, tag="audio"):
    """Sound in a message, as the bytes of a file of the named format ("wav", "mp3")."""

    data: bytes
    format: str


Part = TextPart | ImagePart | AudioPart


class Call(Value, frozen=True):
    """A tool call that an assistant message of the history made. `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Message(Value, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: tuple[Part, ...] = ()
    thought: str | None = None
    """The reasoning that an assistant message carried, given back by the client."""
    calls: tuple[Call, ...] = ()
    call_id: str | None = None
    """For role "tool": the call this answers."""
    name: str | None = None


class Tool(Value, frozen=True):
    """A function the model may call. `parameters` is a JSON schema of an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False


class ToolChoice(Value, frozen=True):
    """`auto`, `none` or `required`; with `name`, exactly that tool is required."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None


class Chat(Value, frozen=True, tag="chat"):
    """A prompt that is a conversation, written out by the model's chat template."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_calls: bool = True
    thinking: bool | None = None
    """Ask a reasoning model to think (True) or not to (False); None leaves it to the template."""
    effort: str | None = None
    """Reasoning effort, handed to templates that know it."""
    continue_last: bool = False
    """Continue the last assistant message instead of starting a new one."""


class Raw(Value, frozen=True, tag="raw"):
    """A prompt given as text, taken as it is."""

    text: str


class Ids(Value, frozen=True, tag="ids"):
    """A prompt given as token ids of the model's own vocabulary."""

    ids: tuple[int, ...]


class Infill(Value, frozen=True, tag="infill"):
    """A gap between two texts (fill-in-the-middle)."""

    prefix: str
    suffix: str
    prompt: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    """Other files as context: pairs of file name and text."""


Prompt = Chat | Raw | Ids | Infill


class FreeText(Value, frozen=True, tag="text"):
    """No constraint on the output."""


class AnyJson(Value, frozen=True, tag="json"):
    """The output is one JSON object."""


class Schema(Value, frozen=True, tag="schema"):
    """The output is JSON that is valid against this JSON schema; it is enforced, whatever the model."""

    schema: dict[str, Any]
    name: str = "response"


class Grammar(Value, frozen=True, tag="grammar"):
    """The output follows this GBNF grammar."""

    grammar: str


Format = FreeText | AnyJson | Schema | Grammar


class Generate(Value, frozen=True, tag="generate"):
    """Produce text (and thoughts and tool calls) after a prompt.

    Answered by Progress, Thought, Text, ToolCall and Logprobs events, then Done.
    """

    prompt: Prompt
    format: Format = FreeText()
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    """Ceiling of generated tokens; None means what is left of the context."""
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """None: no log-probabilities. N >= 0: those of each token, and of the N most likely alternatives."""
    cache: bool = True
    """Reuse the key/value cache of earlier requests with the same beginning."""
    adapters: tuple[tuple[str, float], ...] = ()
    """LoRA adapters by the name in the model file, with their scales; () means as loaded."""


class Embed(Value, frozen=True, tag="embed"):
    """Turn each input (text or token ids) into a vector. Answered by one Vector each, then Done."""

    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    """Cut vectors to this length and normalise them again (for models trained for it)."""
    normalize: bool = True


class Rerank(Value, frozen=True, tag="rerank"):
    """Score how well each document answers the query. Answered by one Score each, then Done."""

    query: str
    documents: tuple[str, ...]


class Tokenize(Value, frozen=True, tag="tokenize"):
    """Turn text into token ids. Answered by one Tokens event, then Done."""

    text: str
    special: bool = True
    """Add the special tokens (BOS, EOS) that the model expects, and parse those written in the text."""


class Detokenize(Value, frozen=True, tag="detokenize"):
    """Turn token ids into text. Answered by one Text event, then Done."""

    ids: tuple[int, ...]


class Render(Value, frozen=True, tag="render"):
    """Write a conversation out by the chat template, without running the model. Answered by Text, then Done."""

    chat: Chat


Task = Generate | Embed | Rerank | Tokenize | Detokenize | Render

Verb = Literal["chat", "complete", "embed", "rerank", "tokenize", "infill", "vision", "hearing"]
"""What a model can do, as written under `tasks:` in a model file."""


def verb(task: Task) -> Verb:
    """The capability a task needs; "chat" for a conversation, "complete" for raw text."""
    match task:
        case Generate(prompt=Chat()) | Render():
            return "chat"
        case Generate(prompt=Infill()):
            return "infill"
        case Generate():
            return "complete"
        case Embed():
            return "embed"
        case Rerank():
            return "rerank"
        case Tokenize() | Detokenize():
            return "tokenize"
