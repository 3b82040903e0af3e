"""Which files may be found: conditions on their attributes, single or joined by `and` and `or`."""

import operator
from collections.abc import Callable, Mapping
from typing import Literal, assert_never

from localai.core.task import Value

Attribute = str | float | bool
Attributes = Mapping[str, Attribute]


class Comparison(Value, frozen=True, tag="comparison"):
    """A condition on one attribute. `in` and `nin` take several values, the others one.

    Text compares with text, numbers with numbers, and true and false with themselves; what is of another kind is
    not equal, neither less nor greater. A file without the attribute meets `ne` and `nin` only.
    """

    kind: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    values: tuple[Attribute, ...]


class Compound(Value, frozen=True, tag="compound"):
    """Conditions that must all (`and`) or in part (`or`) be met."""

    kind: Literal["and", "or"]
    parts: "tuple[Comparison | Compound, ...]"


Filter = Comparison | Compound

_ORDERS: dict[str, Callable[[Attribute, Attribute], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def meets(attributes: Attributes, condition: Filter) -> bool:
    """Whether a file with these attributes meets the condition."""
    match condition:
        case Compound(kind="and", parts=parts):
            return all(meets(attributes, part) for part in parts)
        case Compound(kind="or", parts=parts):
            return any(meets(attributes, part) for part in parts)
        case Comparison():
            return _compares(attributes.get(condition.key), condition)
        case Compound():
            raise AssertionError(condition.kind)
        case _:
            assert_never(condition)


def _compares(have: Attribute | None, condition: Comparison) -> bool:
    same = have is not None and any(_kind(have) is _kind(value) and have == value for value in condition.values)
    match condition.kind:
        case "eq" | "in":
            return same
        case "ne" | "nin":
            return not same
        case "gt" | "gte" | "lt" | "lte":
            return any(
                have is not None and _kind(have) is _kind(value) is not bool and _ORDERS[condition.kind](have, value)
                for value in condition.values
            )


def _kind(value: Attribute) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float
