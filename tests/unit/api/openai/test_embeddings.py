"""Embedding requests and answers."""

import base64
import json
import struct

import pytest
from pydantic import ValidationError

from localai.api.openai.embeddings import EmbeddingBody, asked, reply
from localai.core.errors import ContextLengthExceeded, InternalError, InvalidRequest
from localai.core.event import Done, Usage, Vector

HALF = struct.pack("<3f", 0.5, -0.25, 0.0)
EVENTS = (Vector(index=1, data=HALF), Vector(index=0, data=HALF), Done(usage=Usage(prompt=7)))


def ask(given, **fields):
    return asked(EmbeddingBody.model_validate({"input": given, **fields}))


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([5, 6], ((5, 6),)), ([[5], [6]], ((5,), (6,)))],
)
def test_inputs_in_four_forms(given, inputs):
    """An input is a text, texts, token ids, or lists of them."""
    assert ask(given, dimensions=4).inputs == inputs


@pytest.mark.parametrize("given", ["", ["a", ""]])
def test_an_empty_text_is_refused(given):
    """An empty text has no embedding."""
    with pytest.raises(InvalidRequest) as caught:
        ask(given)
    assert caught.value.param in {"input", "input.1"}


@pytest.mark.parametrize("given", [[], {}, None, ["a"] * 2049, [["a"]], [[]]])
def test_other_inputs_are_refused(given):
    """No inputs, too many, or of other kinds are a fault of `input`."""
    with pytest.raises(ValidationError) as caught:
        ask(given)
    assert caught.value.errors()[0]["loc"] == ("input",)


def test_more_ids_than_any_context_are_too_long():
    """Millions of token ids are refused as too long, however they are divided."""
    for given in ([1] * (2**20 + 1), [[1] * 2**19] * 3):
        with pytest.raises(ContextLengthExceeded):
            ask(given)


async def test_vectors_come_in_order_as_numbers():
    """Vectors are numbers in the order of the inputs, with usage."""
    body = json.loads(await reply(EVENTS, "m", None))
    assert body == {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": index, "embedding": [0.5, -0.25, 0.0]} for index in (0, 1)],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


async def test_base64_is_that_of_the_float32_bytes():
    """`base64` gives the little-endian float32 bytes, as OpenAI's own clients ask for by default."""
    body = json.loads(await reply(EVENTS, "m", "base64"))
    assert [base64.b64decode(row["embedding"]) for row in body["data"]] == [HALF, HALF]


async def test_an_answer_that_does_not_end_is_an_error():
    """Vectors without an end are never given out."""
    with pytest.raises(InternalError):
        await reply(EVENTS[:2], "m", None)
