"""POST /tokenize and /detokenize: text to token ids and back, as llama.cpp's and vLLM's clients ask for it."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from localai.api.openai.fields import Body
from localai.api.openai.inputs import TokenIds
from localai.core.errors import InternalError, InvalidRequest
from localai.core.event import Event, Text, Tokens
from localai.core.task import Detokenize, Tokenize


class TokenizeBody(Body):
    """Text as `content` (llama.cpp) or `prompt` (vLLM), and what to give with the ids."""

    model: str | None = Field(default=None, max_length=512)
    content: str | None = None
    prompt: str | None = None
    add_special: bool | None = None
    with_pieces: bool | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeBody(Body):
    """Token ids."""

    model: str | None = Field(default=None, max_length=512)
    tokens: TokenIds


def asked(body: TokenizeBody) -> Tokenize:
    """Translate a request: llama.cpp adds special tokens when told to, vLLM unless told not to.

    Raises:
        InvalidRequest: There is no text.
    """
    if body.content is not None:
        return Tokenize(text=body.content, special=bool(body.add_special))
    if body.prompt is not None:
        return Tokenize(text=body.prompt, special=body.add_special_tokens is not False)
    raise InvalidRequest("There must be text in `content`.", param="content")


def reply(events: Sequence[Event], body: TokenizeBody) -> dict[str, Any]:
    """The ids; with `with_pieces` each with its text, or its bytes where those are no text of their own.

    Raises:
        InternalError: The engine gave no tokens.
    """
    found = next((event for event in events if isinstance(event, Tokens)), None)
    if found is None:
        raise InternalError("The engine gave no tokens.")
    answer: dict[str, Any] = {"tokens": list(found.ids), "count": len(found.ids)}
    if body.with_pieces:
        answer["tokens"] = [
            {"id": number, "piece": _piece(piece)} for number, piece in zip(found.ids, found.pieces, strict=True)
        ]
    if body.return_token_strs:
        answer["token_strs"] = [piece.decode(errors="replace") for piece in found.pieces]
    return answer


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def asked_back(body: DetokenizeBody) -> Detokenize:
    """Translate a request for text."""
    return Detokenize(ids=body.tokens)


def reply_back(events: Sequence[Event]) -> dict[str, Any]:
    """The text, under llama.cpp's name and under vLLM's."""
    text = text_of(events)
    return {"content": text, "prompt": text}


def text_of(events: Sequence[Event]) -> str:
    """The text of all events."""
    return "".join(event.text for event in events if isinstance(event, Text))
