"""What llama.cpp complains about, as our errors: its own words never reach a client, they may hold a prompt."""

import re
from typing import Any, cast

from localai.core.errors import (
    ContextLengthExceeded,
    InternalError,
    InvalidRequest,
    LocalAIError,
    TaskNotSupported,
    UnsupportedSchema,
)

_TOO_LARGE = re.compile(r"input \((\d+) tokens\) is (?:too large to process|larger than the max context size)")
_KNOWN: tuple[tuple[str, type[LocalAIError], str], ...] = (
    ("grammar", UnsupportedSchema, "The grammar cannot be followed."),
    ("invalid tokens", InvalidRequest, "The prompt holds token ids that this model does not have."),
    ("_m_range_check", InvalidRequest, "There are token ids that this model does not have."),
    ("input is not supported", TaskNotSupported, "This model does not take images or sound."),
    ("failed to load image", InvalidRequest, "An image or sound could not be read; is the file complete?"),
    ("failed to decode", InvalidRequest, "An image or sound could not be read; is the file complete?"),
    ("template", InvalidRequest, "The model's chat template refuses this conversation."),
    ("jinja", InvalidRequest, "The model's chat template refuses this conversation."),
    ("roles", InvalidRequest, "The model's chat template refuses this order of roles."),
    ("empty", InvalidRequest, "The input is empty."),
    ("not support", TaskNotSupported, "This model cannot do what was asked."),
)


class TooLong(ContextLengthExceeded):
    """The input is longer than the model takes; carries the number of its tokens."""

    def __init__(self, tokens: int, context: int) -> None:
        self.tokens = tokens
        super().__init__(
            f"The prompt has {tokens} tokens; this model takes {context} with its answer. Shorten it."
            if context
            else f"The input has {tokens} tokens, more than this model takes."
        )


def problem(answer: Any) -> LocalAIError:
    """Translate an error answer (`{"error": {"message", "type", ...}}`)."""
    error: Any = cast("dict[str, Any]", answer).get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return InternalError()
    details = cast("dict[str, Any]", error)
    if details.get("type") == "exceed_context_size_error":
        return TooLong(int(details.get("n_prompt_tokens", 0)), int(details.get("n_ctx", 0)))
    return complaint(str(details.get("message", "")))


def complaint(message: str) -> LocalAIError:
    """Translate the text of a complaint by what is known of llama.cpp's texts; unknown ones are internal errors."""
    too_large = _TOO_LARGE.search(message)
    if too_large:
        return TooLong(int(too_large[1]), 0)
    lowered = message.lower()
    for part, kind, text in _KNOWN:
        if part in lowered:
            return kind(text)
    return InternalError()
