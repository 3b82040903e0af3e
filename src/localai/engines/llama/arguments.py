"""Whether a call is one: a tool that was offered, with arguments that its schema accepts."""

import copy
import json
from collections.abc import Sequence
from typing import Any, cast

from localai.core.errors import UnsupportedSchema
from localai.core.task import Tool
from localai.engines.llama.grammar import Bounds, from_schema

SIZE = 1024 * 1024
"""Characters of the arguments of one call."""


class Offered:
    """The tools of a request.

    Raises:
        UnsupportedSchema: A strict tool has parameters that cannot be enforced.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._validators = {tool.name: _validator(tool, place) for place, tool in enumerate(tools)}

    def accept(self, name: str, given: Any) -> str | None:
        """The arguments as JSON text when the call is valid, else None."""
        if name not in self._validators:
            return None
        if isinstance(given, str):
            try:
                given = json.loads(given) if given.strip() else {}
            except (ValueError, RecursionError):
                return None
        if not isinstance(given, dict) or not valid(self._validators[name], given):
            return None
        text = json.dumps(given, ensure_ascii=False)
        return text if len(text) <= SIZE else None


def validator(schema: dict[str, Any]) -> Any:
    """A validator of a schema that `grammar.from_schema` accepts.

    Patterns are left to the grammar: a regular expression may take for ever on a text.
    """
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - heavy, and only needed with schemas

    return Draft202012Validator(cast("dict[str, Any]", _standard(copy.deepcopy(schema))))


def valid(check: Any, value: Any) -> bool:
    """Whether a value satisfies a validator; one that cannot be decided does not."""
    try:
        return bool(check.is_valid(value))
    except Exception:  # noqa: BLE001 - whatever a schema does to the validator, the value is not known to be valid
        return False


def _validator(tool: Tool, place: int) -> Any:
    try:
        from_schema(tool.parameters or {"type": "object"}, Bounds(), f"tools.{place}.parameters")
    except UnsupportedSchema:
        if tool.strict:
            raise
        # What cannot be enforced is not used to judge either, but the names that it demands are.
        required: Any = tool.parameters.get("required", [])
        named = (
            [name for name in cast("list[Any]", required) if isinstance(name, str)]
            if isinstance(required, list)
            else []
        )
        return validator({"type": "object", "required": named})
    return validator(tool.parameters or {"type": "object"})


def _standard(schema: Any) -> Any:
    """Bring OpenAPI's `nullable` to the standard and drop patterns, at every place that may hold a schema."""
    if isinstance(schema, list):
        return [_standard(part) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    data = cast("dict[str, Any]", schema)
    result = {
        key: value if key in {"enum", "const", "default", "examples"} else _standard(value)
        for key, value in data.items()
        if not (key == "pattern" and isinstance(value, str)) and not (key == "format" and isinstance(value, str))
    }
    kinds = result.get("type")
    if result.get("nullable") is True and kinds is not None:
        named = cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds]
        result["type"] = [*named, "null"]
    return result
