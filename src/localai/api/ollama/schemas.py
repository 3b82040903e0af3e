"""Schemas of answers and tools as Ollama's clients write them: JSON schemas, or OpenAPI's older kind.

Home Assistant and others describe values as OpenAPI 3.0 does: `nullable`, limits that are exclusive by a flag, type
names in capitals. Such words are put as JSON schema says the same; languages that cannot leave out a field send null
for it. What is no schema at all comes out as it was, for the engine to refuse.
"""

from collections.abc import Callable
from typing import Any, cast

from localai.core.errors import UnsupportedSchema

_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
"""Keywords that hold schemas by name."""
_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
"""Keywords that hold lists of schemas."""
_ONES = frozenset(("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"))
"""Keywords that hold one schema."""
_VALUES = frozenset(("const", "default", "example"))
"""Keywords for which null is a value."""
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_DEPTH = 64

Schema = dict[str, Any]


def plain(schema: Schema, param: str) -> Schema:
    """The same schema in the words of JSON schema.

    Raises:
        UnsupportedSchema: It is nested too deeply.
    """
    return cast("Schema", _schema(schema, param, 0))


def _schema(given: Any, param: str, depth: int) -> Any:
    if not isinstance(given, dict):
        return given
    if depth > _DEPTH:
        raise UnsupportedSchema(f"The schema is nested more than {_DEPTH} levels deep.", param=param)
    schema = {
        key: _below(key, value, lambda part: _schema(part, param, depth + 1))
        for key, value in cast("Schema", given).items()
        if value is not None or key in _VALUES
    }
    _limits(schema)
    _type(schema)
    return schema


def _below(key: str, value: Any, visit: Callable[[Any], Any]) -> Any:
    if key in _MAPS and isinstance(value, dict):
        return {name: visit(part) for name, part in cast("Schema", value).items() if part is not None}
    if key in _LISTS and isinstance(value, list):
        return [visit(part) for part in cast("list[Any]", value)]
    return visit(value) if key in _ONES else value


def _limits(schema: Schema) -> None:
    """OpenAPI's flags `exclusiveMinimum` and `exclusiveMaximum` make the limits beside them exclusive."""
    for limit, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        exclusive = schema.get(flag)
        if isinstance(exclusive, bool):
            del schema[flag]
            if exclusive and limit in schema:
                schema[flag] = schema.pop(limit)


def _type(schema: Schema) -> None:
    """Type names in small letters; `nullable` as one more type (and one more value of an `enum`)."""
    kind: Any = schema.get("type")
    if isinstance(kind, str) and kind.lower() in _TYPES:
        schema["type"] = kind = kind.lower()
    nullable = schema.get("nullable")
    if not isinstance(nullable, bool):
        return
    del schema["nullable"]
    if not nullable:
        return
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
        values = schema.get("enum")
        if isinstance(values, list) and None not in values:
            schema["enum"] = [*cast("list[Any]", values), None]
    elif kind is None and schema:
        inner = dict(schema)
        schema.clear()
        schema["anyOf"] = [inner, {"type": "null"}]
