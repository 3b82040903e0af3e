"""Log-probabilities in the shapes of the chat API and of the older completions API."""

from collections.abc import Sequence
from typing import Any

from localai.core.event import Chosen, TokenLogprob


def chat_tokens(tokens: Sequence[Chosen]) -> list[dict[str, Any]]:
    """The entries of `logprobs.content`."""
    return [{**_token(chosen.token), "top_logprobs": [_token(top) for top in chosen.top]} for chosen in tokens]


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.data or token.token.encode())}


def old_tokens(tokens: Sequence[Chosen], offset: int) -> dict[str, Any]:
    """Four lists side by side; `offset` is the position in the text, in characters, of the first token."""
    offsets: list[int] = []
    for chosen in tokens:
        offsets.append(offset)
        offset += len(chosen.token.token)
    return {
        "tokens": [chosen.token.token for chosen in tokens],
        "token_logprobs": [chosen.token.logprob for chosen in tokens],
        "top_logprobs": [{top.token: top.logprob for top in chosen.top} for chosen in tokens],
        "text_offset": offsets,
    }


def mean(tokens: Sequence[Chosen]) -> float:
    """The mean log-probability of a text; a text without tokens is the least likely of all."""
    return sum(chosen.token.logprob for chosen in tokens) / len(tokens) if tokens else float("-inf")
