"""The filters of a search: OpenAI's nested objects to the service's conditions."""

from typing import Any, cast

from localai.core.errors import InvalidRequest
from localai.service.filters import Attribute, Comparison, Compound, Filter

DEPTH = 8
"""How deep conditions may be nested."""
COUNT = 256
"""Conditions, and values of `in` and `nin`, of one search."""

_SINGLE = ("eq", "ne", "gt", "gte", "lt", "lte")
_SEVERAL = ("in", "nin")


def condition(given: dict[str, Any], param: str = "filters") -> Filter:
    """Read a filter.

    Raises:
        InvalidRequest: It is malformed, too deep or too large; `param` says where.
    """
    return _Reader().read(given, param, DEPTH)


class _Reader:
    """Reads one filter, and counts."""

    def __init__(self) -> None:
        self._left = COUNT

    def read(self, given: object, param: str, depth: int) -> Filter:
        self._left -= 1
        if depth == 0 or self._left < 0:
            raise InvalidRequest(f"A filter may be {DEPTH} deep and hold {COUNT} conditions.", param="filters")
        if not isinstance(given, dict):
            raise InvalidRequest("A filter must be an object.", param=param)
        fields = cast("dict[str, Any]", given)
        match fields.get("type"):
            case "and" | "or" as kind:
                return Compound(kind=kind, parts=self._parts(fields.get("filters"), f"{param}.filters", depth))
            case "eq" | "ne" | "gt" | "gte" | "lt" | "lte" as kind:
                return Comparison(kind=kind, key=_key(fields, param), values=(_value(fields.get("value"), param),))
            case "in" | "nin" as kind:
                return Comparison(kind=kind, key=_key(fields, param), values=self._values(fields.get("value"), param))
            case _:
                kinds = ", ".join(("and", "or", *_SINGLE, *_SEVERAL))
                raise InvalidRequest(f"The `type` of a filter must be one of {kinds}.", param=f"{param}.type")

    def _parts(self, given: object, param: str, depth: int) -> tuple[Filter, ...]:
        if not isinstance(given, list) or not given:
            raise InvalidRequest("This must be a list of filters.", param=param)
        parts = cast("list[object]", given)
        return tuple(self.read(part, f"{param}.{index}", depth - 1) for index, part in enumerate(parts))

    def _values(self, given: object, param: str) -> tuple[Attribute, ...]:
        if not isinstance(given, list):
            raise InvalidRequest("`in` and `nin` need a list of values.", param=f"{param}.value")
        values = cast("list[object]", given)
        self._left -= len(values)
        if self._left < 0:
            raise InvalidRequest(f"A filter may hold at most {COUNT} values.", param=f"{param}.value")
        return tuple(_value(value, param) for value in values)


def _key(fields: dict[str, Any], param: str) -> str:
    key = fields.get("key")
    if not isinstance(key, str) or not 0 < len(key) <= 64:
        raise InvalidRequest("A filter needs a `key` of 1 to 64 characters.", param=f"{param}.key")
    return key


def _value(given: object, param: str) -> Attribute:
    if isinstance(given, (bool, int, float)) or (isinstance(given, str) and len(given) <= 512):
        return given
    raise InvalidRequest(
        "The value of a filter must be a text of at most 512 characters, a number, true or false.",
        param=f"{param}.value",
    )
