"""POST /api/embed and /api/embeddings: texts to vectors."""

import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
import orjson
from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from localai.api.ollama.fields import KeepAlive, Named
from localai.api.ollama.options import Options
from localai.api.openai.fields import Whole, items
from localai.api.openai.inputs import INPUTS
from localai.core.errors import InternalError, InvalidRequest
from localai.core.event import Done, Event, Tokens, Vector
from localai.core.task import Embed, Task, Tokenize

Perform = Callable[[Task], Awaitable[Sequence[Event]]]
"""Performs a task on the model that was asked."""


def _texts(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,) if given else ()
    if given is None:
        return ()
    many = items(given)
    if many is None:
        raise PydanticCustomError("input", "must be a string or a list of strings")
    if len(many) > INPUTS:
        raise PydanticCustomError("input", "may hold at most 2048 texts")
    texts = tuple(text for text in many if isinstance(text, str))
    if len(texts) < len(many):
        raise PydanticCustomError("input", "must be a string or a list of strings")
    return texts


class EmbedBody(Named):
    """A request for embeddings; without input it loads the model. Fields this server does not know are ignored."""

    input: Annotated[tuple[str, ...], PlainValidator(_texts, json_schema_input_type=str | list[str])] = ()
    truncate: bool | None = Field(
        default=None, description="Cut what is too long. Only when it is true: a text is never cut unasked."
    )
    dimensions: Annotated[Whole, Field(ge=0, le=65536)] | None = None
    options: Options | None = None
    keep_alive: KeepAlive = None


class EmbeddingsBody(Named):
    """The older request: one text, and its vector as the model makes it, of any length."""

    prompt: str | None = None
    options: Options | None = None
    keep_alive: KeepAlive = None


def asked(body: EmbedBody | EmbeddingsBody) -> Embed:
    """Translate a request that has something to embed."""
    if isinstance(body, EmbeddingsBody):
        return Embed(inputs=(body.prompt or "",), normalize=False)
    return Embed(inputs=body.input, dimensions=body.dimensions or None)


async def shortened(task: Embed, context: int, perform: Perform) -> tuple[Embed, list[int]]:
    """The task with its texts cut to `context` tokens, and which of them were cut.

    The tokens that the model puts before and after every text stay.

    Raises:
        InvalidRequest: How long a text may be is not known.
    """
    if context < 4:
        raise InvalidRequest("How long a text of this model may be is not known; split it yourself.", param="truncate")
    frame = _ids(await perform(Tokenize(text="")))
    inputs: list[str | tuple[int, ...]] = []
    cut: list[int] = []
    for index, text in enumerate(task.inputs):
        ids = _ids(await perform(Tokenize(text=text))) if isinstance(text, str) else text
        if len(ids) <= context:
            inputs.append(text)
            continue
        cut.append(index)
        closed = bool(frame) and ids[-1:] == frame[-1:] and (len(frame) > 1 or ids[:1] != frame)
        inputs.append((*ids[: context - 1], ids[-1]) if closed else ids[:context])
    return msgspec.structs.replace(task, inputs=tuple(inputs)), cut


def reply(events: Sequence[Event], head: dict[str, Any]) -> bytes:
    """The answer to /api/embed as JSON; `head` is what it says besides.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    done = _done(events)
    fields = {**head, "embeddings": _vectors(events), "prompt_eval_count": done.usage.prompt}
    return orjson.dumps(fields)


def reply_old(events: Sequence[Event]) -> bytes:
    """The answer to /api/embeddings as JSON.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    _done(events)
    return orjson.dumps({"embedding": next(iter(_vectors(events)), ())})


def _vectors(events: Sequence[Event]) -> list[tuple[float, ...]]:
    found = {event.index: event.data for event in events if isinstance(event, Vector)}
    return [struct.unpack(f"<{len(data) // 4}f", data) for _, data in sorted(found.items())]


def _done(events: Sequence[Event]) -> Done:
    done = next((event for event in events if isinstance(event, Done)), None)
    if done is None:
        raise InternalError("The engine stopped without ending its answer.")
    return done


def _ids(events: Sequence[Event]) -> tuple[int, ...]:
    return next((event.ids for event in events if isinstance(event, Tokens)), ())
