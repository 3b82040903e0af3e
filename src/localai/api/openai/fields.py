"""The kinds of field that request bodies of this dialect are made of."""

import re
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

STOPS = 16
"""Stop strings of one request."""
STOP_LENGTH = 1024
"""Characters of one stop string."""
BIASES = 1024
"""Tokens of one request that may carry a bias."""
TOKEN_LIMIT = 2**31 - 1
"""Largest token id, and largest number of tokens that is passed on."""


_DURATION = re.compile(r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|)")
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Body(BaseModel):
    """A request body: known fields must have their type, unknown ones are dropped, nothing changes afterwards.

    What checks it is built when the first body comes: nobody uses all of them, and the server starts sooner.
    """

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )


def _whole(given: object) -> object:
    return int(given) if isinstance(given, float) and given.is_integer() else given


def items(given: object) -> list[object] | None:
    """A JSON array as a list; None for anything else."""
    return cast("list[object]", given) if isinstance(given, list) else None


def _one_or_many(given: object) -> object:
    many = [given] if isinstance(given, str) else items(given)
    if many is None:
        raise PydanticCustomError("stop", "must be a string or a list of strings")
    if len(many) > STOPS:
        raise PydanticCustomError("stop", "may hold at most 16 strings")
    for stop in many:
        if not isinstance(stop, str) or not 0 < len(stop) <= STOP_LENGTH:
            raise PydanticCustomError("stop", "must hold strings of 1 to 1024 characters")
    return tuple(many)


def _biases(given: object) -> object:
    pairs = list(cast("dict[object, object]", given).items()) if isinstance(given, dict) else items(given)
    if pairs is None:
        raise PydanticCustomError("logit_bias", "must be an object from token ids to numbers from -100 to 100")
    if len(pairs) > BIASES:
        raise PydanticCustomError("logit_bias", "may hold at most 1024 token ids")
    return tuple(map(_bias, pairs))


def _bias(pair: Any) -> tuple[int, float]:
    match pair:
        case (str() | int() as token, int() | float() as bias) if not isinstance(token, bool):
            number = int(token) if _is_number(token) else -1
            value = -100.0 if bias is False else float(bias)
            if 0 <= number <= TOKEN_LIMIT and -100 <= value <= 100 and bias is not True:
                return number, value
        case _:
            pass
    raise PydanticCustomError("logit_bias", "must map token ids (whole numbers) to numbers from -100 to 100")


def _seconds(given: object) -> object:
    if not isinstance(given, str):
        return given
    found = _DURATION.fullmatch(given.strip())
    if found is None:
        raise PydanticCustomError("keep_alive", "must be seconds, or a text such as `30s`, `10m`, `1h` or `-1`")
    return float(found[1]) * _UNITS[found[2]]


def _is_number(token: str | int) -> bool:
    return isinstance(token, int) or (token.isascii() and token.isdecimal() and len(token) <= 10)


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer; 3.0 counts as one, because some languages have one kind of number."""
Tokens = Annotated[Whole, Field(ge=1)]
"""A number of tokens, at least one."""
Stops = Annotated[tuple[str, ...], BeforeValidator(_one_or_many, json_schema_input_type=str | list[str])]
"""One stop string or up to 16, none of them empty."""
Biases = Annotated[tuple[tuple[int, float], ...], BeforeValidator(_biases, json_schema_input_type=dict[str, float])]
"""Token ids with what is added to their logits; also llama.cpp's list of pairs, in which false forbids."""
Unit = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""
Positive = Annotated[float, Field(ge=0, le=1e6)]
"""A number that is not negative."""
Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=float | str)]
"""A time as seconds or as a text such as `10m`; negative means for ever."""
