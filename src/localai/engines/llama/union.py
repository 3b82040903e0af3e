"""What kinds of values flat schemas allow, and whether two of them can share a value."""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from localai.engines.llama.schema import Schema, Schemas

_IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def infer(flat: Schema) -> list[str] | None:
    """The type that the keywords speak of when none is named; None when there are no such keywords."""
    kinds = [kind for kind, keys in _IMPLIED.items() if any(key in flat for key in keys)]
    return kinds or None


def is_of(value: Any, kind: str) -> bool:
    """Whether a JSON value has a JSON type."""
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def disjoint(flats: Sequence[Schema], schemas: Schemas) -> bool:
    """Whether it is certain that no value satisfies two of these schemas."""
    return all(_apart(one, other, schemas) for one, other in combinations(flats, 2))


def _apart(one: Schema, other: Schema, schemas: Schemas) -> bool:
    if _values(one) is not None and _values(other) is not None:
        return not (_values(one) or set()) & (_values(other) or set())
    if not _kinds(one) & _kinds(other):
        return True
    if _kinds(one) != {"object"} or _kinds(other) != {"object"}:
        return False
    shared = set(one.get("required", ())) & set(other.get("required", ()))
    for name in shared:
        sides = [schemas.flat(side.get("properties", {}).get(name, True), name) for side in (one, other)]
        first, second = _values(sides[0]), _values(sides[1])
        if first is not None and second is not None and not first & second:
            return True
        if not _kinds(sides[0]) & _kinds(sides[1]):
            return True
    return _lacks(one, other) or _lacks(other, one)


def _lacks(one: Schema, other: Schema) -> bool:
    """Whether `one` forbids a property that `other` demands."""
    return one.get("additionalProperties") is False and any(
        name not in one.get("properties", {}) for name in other.get("required", ())
    )


def _values(flat: Schema) -> set[str] | None:
    """The values of an enum in one spelling, or None."""
    return {json.dumps(value, sort_keys=True) for value in flat["enum"]} if "enum" in flat else None


def _kinds(flat: Schema) -> set[str]:
    """The types a flat schema allows, integers counted as numbers; all of them when it names none."""
    every = {"object", "array", "string", "number", "boolean", "null"}
    if "enum" in flat:
        return {kind for kind in every for value in flat["enum"] if is_of(value, kind)}
    if "anyOf" in flat or "oneOf" in flat or not flat.get("type"):
        return every
    return {"number" if kind == "integer" else kind for kind in flat["type"]}
