"""Typed bodies and the errors about them."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from localai.api.body import parse
from localai.core.errors import InvalidRequest, MalformedBody


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    type: Literal["image"]
    url: str


class Turn(BaseModel):
    role: Literal["user", "system"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]


class Chat(BaseModel):
    messages: list[Turn]
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    limit: int | None = Field(default=None, alias="max_tokens")
    bias: dict[str, float] = {}
    seed: int = 0

    @field_validator("seed")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even.")
        return value


@pytest.mark.parametrize(
    ("raw", "param", "message"),
    [
        (b"{}", "messages", "`messages` is required."),
        (b'{"messages":{}}', "messages", "`messages` should be a valid list."),
        (b'{"messages":[1]}', "messages.0", "`messages.0` should be"),
        (b'{"messages":[{"role":"user"}]}', "messages.0.content", "`messages.0.content` is required."),
        (b'{"messages":[{"role":"boss","content":""}]}', "messages.0.role", "'user' or 'system'"),
        (
            b'{"messages":[{"role":"user","content":null}]}',
            "messages.0.content",
            "`messages.0.content` should be a valid string or a valid list.",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"type":"text"}]}]}',
            "messages.0.content.0.text",
            "`messages.0.content.0.text` is required.",
        ),
        (
            b'{"messages":[{"role":"user","content":[{"type":"canary"}]}]}',
            "messages.0.content.0",
            "has an unknown `type`; expected one of 'text', 'image'.",
        ),
        (b'{"messages":[{"role":"user","content":[{}]}]}', "messages.0.content.0", "needs the field `type`."),
        (b'{"messages":[],"temperature":5}', "temperature", "less than or equal to 2"),
        (b'{"messages":[],"max_tokens":"canary"}', "max_tokens", "valid integer"),
        (b'{"messages":[],"bias":{"canary":"x"}}', "bias.canary", "valid number"),
        (b'{"messages":[],"seed":3}', "seed", "`seed` must be even."),
        (b"[]", None, "must be a JSON object"),
    ],
)
def test_errors(raw, param, message):
    """An error names the field that is wrong and says in plain words what would be right."""
    with pytest.raises(InvalidRequest) as error:
        parse(raw, Chat)
    assert error.value.param == param
    assert message in error.value.message
    assert "canary" not in error.value.message.replace("bias.canary", "")


def test_unknown_fields_are_counted():
    """Fields nobody knows are dropped and counted; an alias is known."""
    value, unknown = parse(b'{"messages":[],"max_tokens":5,"n_discard":-1,"x":{}}', Chat)
    assert value.limit == 5
    assert unknown == 2
    assert not hasattr(value, "n_discard")


def test_long_names_are_cut():
    """A name the client made up is not given back in full."""
    with pytest.raises(InvalidRequest) as error:
        parse(b'{"messages":[],"bias":{"' + b"n" * 10_000 + b'":"x"}}', Chat)
    assert len(error.value.message) < 300


def test_not_json():
    """What is not JSON is told apart from JSON of the wrong shape."""
    with pytest.raises(MalformedBody):
        parse(b"{", Chat)
