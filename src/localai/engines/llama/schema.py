"""JSON schemas, checked and flattened: what is left are keywords that our grammar really enforces.

References are followed, `allOf` and siblings of `$ref` are merged. A keyword that cannot be enforced is refused with
its name and place; one that only annotates is dropped. Nothing is passed over in silence.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from localai.core.errors import UnsupportedSchema

Schema = dict[str, Any]

DEPTH = 64
NODES = 5_000
BYTES = 256 * 1024
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

ANNOTATIONS = frozenset(
    {
        "$anchor", "$comment", "$defs", "$id", "$schema", "$vocabulary", "default", "definitions", "deprecated",
        "description", "discriminator", "example", "examples", "externalDocs", "id", "markdownDescription",
        "additionalItems", "readOnly", "title", "writeOnly", "xml", "contentEncoding", "contentMediaType", "strict",
    }
)  # fmt: skip
ENFORCED = frozenset(
    {
        "additionalProperties", "allOf", "anyOf", "const", "enum", "exclusiveMaximum", "exclusiveMinimum", "format",
        "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties",
        "minimum", "multipleOf", "nullable", "oneOf", "pattern", "prefixItems", "properties", "propertyNames", "$ref",
        "required", "type", "uniqueItems",
    }
)  # fmt: skip
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "enum")


class Schemas:
    """One schema document: gives the flat form of any place in it."""

    def __init__(self, root: Schema) -> None:
        """Take a document.

        Raises:
            UnsupportedSchema: It is too large or too deep.
        """
        spelled(root)
        self._root = root
        self._steps = 0

    def flat(self, schema: Any, path: str, seen: tuple[str, ...] = ()) -> Schema:
        """Follow references and merge `allOf` here (not below), and check the keywords that are left.

        Raises:
            UnsupportedSchema: Something here cannot be enforced.
        """
        self._steps += 1
        if self._steps > 4 * NODES:
            raise UnsupportedSchema("The schema becomes too large when its references are followed.", param=path)
        if schema is True:
            return {}
        if schema is False:
            raise UnsupportedSchema(f"{path}: `false` allows no value at all.", param=path)
        if not isinstance(schema, dict):
            raise UnsupportedSchema(f"{path}: a schema has to be an object or a boolean.", param=path)
        own = _checked(cast("Schema", schema), path)
        parts: list[Schema] = []
        if "$ref" in own:
            reference = own.pop("$ref")
            if reference in seen:
                raise UnsupportedSchema(f"{path}.$ref: {reference!r} refers to itself.", param=path)
            parts.append(self.flat(self.target(reference, path), path, (*seen, reference)))
        for index, part in enumerate(own.pop("allOf", ())):
            parts.append(self.flat(part, f"{path}.allOf.{index}", seen))
        for part in parts:
            own = merged(own, part, path)
        return own

    def target(self, reference: Any, path: str) -> Any:
        """What a local reference points to.

        Raises:
            UnsupportedSchema: It is not local (nothing is ever fetched) or points nowhere.
        """
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise UnsupportedSchema(f"{path}.$ref: only references within the schema (#/...) are followed.", param=path)
        found: Any = self._root
        for raw in reference.split("/")[1:]:
            key = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = cast("Schema", found)[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(cast("list[Any]", found)):
                found = cast("list[Any]", found)[int(key)]
            else:
                raise UnsupportedSchema(f"{path}.$ref: {reference!r} points nowhere.", param=path)
        return found


def spelled(root: Schema) -> str:
    """A schema as JSON text.

    Raises:
        UnsupportedSchema: It is too large or too deep to be looked at.
    """
    if _measure(root) > NODES:
        raise UnsupportedSchema(f"The schema has more than {NODES} parts or is deeper than {DEPTH}.")
    try:
        text = json.dumps(root, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except ValueError:
        raise UnsupportedSchema("The schema holds text or a number that JSON cannot carry.") from None
    if size > BYTES:
        raise UnsupportedSchema(f"The schema is larger than {BYTES // 1024} KiB.")
    return text


def merged(first: Schema, second: Schema, path: str) -> Schema:
    """Both flat schemas at once.

    Raises:
        UnsupportedSchema: They contradict each other, or hold what cannot be combined.
    """
    result = dict(first)
    names = _closed(first, second, path)
    for key, value in second.items():
        if key not in result:
            result[key] = value
        elif result[key] != value:
            result[key] = _combined(key, result[key], value, path)
    if names is not None and "properties" in result:
        result["properties"] = {name: part for name, part in result["properties"].items() if name in names}
    return result


def _combined(key: str, one: Any, other: Any, path: str) -> Any:
    choose = _COMBINE.get(key)
    if choose is None:
        raise UnsupportedSchema(f"{path}.{key}: two different values cannot be combined.", param=path)
    value = choose(one, other)
    if value == [] and key in {"type", "enum"}:
        raise UnsupportedSchema(f"{path}.{key}: no value satisfies all parts.", param=path)
    return value


def _common(one: list[Any], other: list[Any]) -> list[Any]:
    """The values in both lists; as JSON, where true is not 1."""
    known = {json.dumps(value, sort_keys=True) for value in other}
    return [value for value in one if json.dumps(value, sort_keys=True) in known]


def _both_types(one: list[str], other: list[str]) -> list[str]:
    kept = [kind for kind in one if kind in other or (kind == "integer" and "number" in other)]
    return kept + [kind for kind in other if kind == "integer" and "number" in one and kind not in kept]


def _both_properties(one: Schema, other: Schema) -> Schema:
    shared = {name: {"allOf": [one[name], part]} if name in one else part for name, part in other.items()}
    return {**one, **shared}


_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "type": _both_types,
    "enum": _common,
    "properties": _both_properties,
    "required": lambda one, other: [*one, *(name for name in other if name not in one)],
    "additionalProperties": lambda one, other: False if False in (one, other) else {"allOf": [one, other]},
    "items": lambda one, other: {"allOf": [one, other]},
    "propertyNames": lambda one, other: {"allOf": [one, other]},
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minItems", "minLength", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxItems", "maxLength", "maxProperties"), min),
}


def _closed(first: Schema, second: Schema, path: str) -> set[str] | None:
    """Names that both sides allow, when one of them allows no others than its own; None when all do."""
    names: set[str] | None = None
    for side in (first, second):
        if side.get("additionalProperties") is False:
            own = set(side.get("properties", {}))
            names = own if names is None else names & own
    if names is not None:
        lost = [name for side in (first, second) for name in side.get("required", ()) if name not in names]
        if lost:
            raise UnsupportedSchema(f"{path}: the required property {lost[0]!r} is not allowed.", param=path)
    return names


def _checked(schema: Schema, path: str) -> Schema:
    """Refuse what cannot be enforced or has a wrong type; drop annotations; bring spellings to one form."""
    result = without_annotations(schema)
    for key in result:
        if key not in ENFORCED:
            raise UnsupportedSchema(f"{path}.{key}: this keyword cannot be enforced; leave it out.", param=path)
    _check_counts(result, path)
    _check_shapes(result, path)
    if "const" in result:
        result["enum"] = _common(result.get("enum", [result["const"]]), [result.pop("const")])
    if result.get("enum") == []:
        raise UnsupportedSchema(f"{path}.enum: no value is allowed.", param=path)
    _modernise(result)
    if not result.pop("uniqueItems", False) or result.get("maxItems", 2) <= 1:
        return result
    raise UnsupportedSchema(f"{path}.uniqueItems: this keyword cannot be enforced; leave it out.", param=path)


def without_annotations(schema: Schema) -> Schema:
    """The keywords that say something about a value."""
    return {key: value for key, value in schema.items() if key not in ANNOTATIONS and not key.startswith("x-")}


def _modernise(schema: Schema) -> None:
    """Older spellings: a single type, OpenAPI's nullable, draft 4's flags beside a bound."""
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"]]
    if schema.pop("nullable", False) is True and "type" in schema and "null" not in schema["type"]:
        schema["type"] = [*schema["type"], "null"]
    for key, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(key) is True and bound in schema:
            schema[key] = schema.pop(bound)
        elif isinstance(schema.get(key), bool):
            del schema[key]


def _check_counts(schema: Schema, path: str) -> None:
    for key in _COUNTS:
        value = schema.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**9:
            raise UnsupportedSchema(f"{path}.{key}: has to be a whole number that is not negative.", param=path)


def _check_shapes(schema: Schema, path: str) -> None:
    named: Any = schema.get("type", [])
    for kind in cast("list[Any]", named) if isinstance(named, list) else [named]:
        if kind not in TYPES:
            raise UnsupportedSchema(f"{path}.type: {str(kind)[:40]!r} is no JSON type.", param=path)
    for key in _LISTS:
        if key in schema and not (isinstance(schema[key], list) and schema[key]):
            raise UnsupportedSchema(f"{path}.{key}: has to be a list that is not empty.", param=path)
    for key, shape in (("properties", dict), ("pattern", str), ("format", str), ("required", list)):
        if key in schema and not isinstance(schema[key], shape):
            raise UnsupportedSchema(f"{path}.{key}: has the wrong JSON type.", param=path)
    if not all(isinstance(name, str) for name in schema.get("required", ())):
        raise UnsupportedSchema(f"{path}.required: has to be a list of names.", param=path)
    if isinstance(schema.get("items"), list):
        raise UnsupportedSchema(f"{path}.items: write a list of schemas as prefixItems.", param=path)


def _measure(root: Any) -> int:
    """Count the parts of a JSON value without recursion; more than NODES when it is deeper than DEPTH."""
    count = 0
    layer: list[Any] = [root]
    for _ in range(DEPTH * 2):
        if not layer or count > NODES:
            return count
        count += len(layer)
        layer = [child for value in layer for child in _children(value)]
    return NODES + 1


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return list(cast("Mapping[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else ()


def only_reference(schema: Any) -> str | None:
    """The target when a schema is nothing but a reference (besides annotations)."""
    while isinstance(schema, dict):
        left = without_annotations(cast("Schema", schema))
        if set(left) == {"$ref"} and isinstance(left["$ref"], str):
            return left["$ref"]
        parts = cast("list[Any]", left["allOf"]) if isinstance(left.get("allOf"), list) else []
        schema = parts[0] if len(parts) == len(left) == 1 else None
    return None
