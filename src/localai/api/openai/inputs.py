"""Inputs that are a text, texts, token ids, or lists of token ids."""

from typing import Annotated

from pydantic import PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import TOKEN_LIMIT, items
from localai.core.errors import ContextLengthExceeded

INPUTS = 2048
"""Inputs of one request."""
IDS = 2**20
"""Token ids of one request, all inputs together: more than any context."""

Input = str | tuple[int, ...]


def _inputs(given: object, info: ValidationInfo) -> tuple[Input, ...]:
    if isinstance(given, str):
        return (given,)
    many = items(given)
    if not many:
        raise PydanticCustomError(
            "inputs", "must be a string, a list of strings, a list of token ids, or a list of such lists, and not empty"
        )
    if isinstance(many[0], int):
        return (_ids(many, IDS, info.field_name),)
    if len(many) > INPUTS:
        raise PydanticCustomError("inputs", "may hold at most 2048 inputs")
    return _texts(many) if isinstance(many[0], str) else _lists(many, info.field_name)


def _texts(given: list[object]) -> tuple[Input, ...]:
    texts = tuple(text for text in given if isinstance(text, str))
    if len(texts) < len(given):
        raise PydanticCustomError("inputs", "must hold strings only, when it starts with one")
    return texts


def _lists(given: list[object], field: str | None) -> tuple[Input, ...]:
    left = IDS
    lists: list[Input] = []
    for ids in given:
        lists.append(_ids(ids, left, field))
        left -= len(lists[-1])
    return tuple(lists)


def _ids(given: object, limit: int, field: str | None) -> tuple[int, ...]:
    many = items(given) or []
    if len(many) > limit:
        raise ContextLengthExceeded("So many token ids fit into no context.", param=field)
    ids = tuple(value for value in many if type(value) is int and 0 <= value <= TOKEN_LIMIT)
    if not ids or len(ids) < len(many):
        raise PydanticCustomError("inputs", "must hold token ids (whole numbers from 0), at least one in each list")
    return ids


def _maybe_none(given: object, info: ValidationInfo) -> tuple[int, ...]:
    return () if given == [] else _ids(given, IDS, info.field_name)


Inputs = Annotated[
    tuple[Input, ...],
    PlainValidator(_inputs, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
]
"""One input or up to 2048, each a text or a tuple of token ids; never none."""
TokenIds = Annotated[tuple[int, ...], PlainValidator(_maybe_none, json_schema_input_type=list[int])]
"""Token ids, possibly none."""
