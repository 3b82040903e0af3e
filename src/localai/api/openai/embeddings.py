"""POST /v1/embeddings: texts or token ids to vectors."""

import array
import asyncio
import base64
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from localai.api.openai.fields import Body, Whole
from localai.api.openai.inputs import Inputs
from localai.core.errors import InternalError, InvalidRequest
from localai.core.event import Done, Event, Vector
from localai.core.task import Embed

PAUSE = 64
"""Vectors that are written before the event loop gets its turn."""


class EmbeddingBody(Body):
    """A request for embeddings. Fields this server does not know are ignored."""

    model: str | None = Field(default=None, max_length=512)
    input: Inputs
    encoding_format: Literal["float", "base64"] | None = None
    user: Any = None
    dimensions: Annotated[Whole, Field(ge=1, le=65536)] | None = None


def asked(body: EmbeddingBody) -> Embed:
    """Translate a request.

    Raises:
        InvalidRequest: An input is an empty text.
    """
    for index, given in enumerate(body.input):
        if not given:
            raise InvalidRequest(
                "An input must not be empty.", param="input" if len(body.input) == 1 else f"input.{index}"
            )
    return Embed(inputs=body.input, dimensions=body.dimensions)


async def reply(events: Sequence[Event], model: str, encoding: Literal["float", "base64"] | None) -> bytes:
    """The answer as JSON; many vectors are written in turns with the event loop.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    done = next((event for event in events if isinstance(event, Done)), None)
    if done is None:
        raise InternalError("The engine stopped without ending its answer.")
    parts: list[bytes] = []
    for count, vector in enumerate(sorted((event for event in events if isinstance(event, Vector)), key=_index), 1):
        written = orjson.dumps(
            _numbers(vector.data) if encoding != "base64" else base64.b64encode(vector.data).decode()
        )
        parts.append(b'{"object":"embedding","index":%d,"embedding":' % vector.index + written + b"}")
        if count % PAUSE == 0:
            await asyncio.sleep(0)
    usage = orjson.dumps({"prompt_tokens": done.usage.prompt, "total_tokens": done.usage.prompt})
    rest = b'],"model":' + orjson.dumps(model) + b',"usage":' + usage + b"}"
    return b'{"object":"list","data":[' + b",".join(parts) + rest


def _index(vector: Vector) -> int:
    return vector.index


def _numbers(data: bytes) -> list[float]:
    numbers = array.array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
