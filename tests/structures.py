"""Random schemas and tools of growing difficulty; the same number gives the same ones."""

import random
from typing import Any

from localai.core.task import Tool

SUBJECTS = ["a dog", "a city", "an invoice", "a recipe", "a planet", "a book", "a meeting", "a car", "a song", "a user"]
WORDS = ["name", "title", "age", "price", "tags", "active", "status", "items", "owner", "date", "email", "id", "notes"]


def leaf(chance: random.Random) -> dict[str, Any]:
    low = chance.randint(-50, 50)
    return chance.choice(
        [
            {"type": "string"},
            {"type": "string", "minLength": 1, "maxLength": chance.randint(5, 60)},
            {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
            {"type": "string", "format": chance.choice(["date", "date-time", "email", "uuid", "ipv4", "time"])},
            {"type": "string", "enum": ["red", "green", "blue"]},
            {"type": "integer", "minimum": low, "maximum": low + chance.randint(0, 5000)},
            {"type": "number", "exclusiveMinimum": 0, "maximum": chance.choice([1, 9.5, 1000])},
            {"type": "boolean"},
            {"type": ["string", "null"], "maxLength": 20},
            {"const": chance.choice([1, "fixed", None, True])},
            {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "maxLength": 12}]},
        ]
    )


def node(chance: random.Random, depth: int) -> dict[str, Any]:
    kind = chance.random()
    if depth == 0 or kind < 0.45:
        return leaf(chance)
    if kind < 0.6:
        least = chance.randint(0, 2)
        return {"type": "array", "items": node(chance, depth - 1), "minItems": least, "maxItems": least + 3}
    if kind < 0.7:
        return {"$ref": "#/$defs/shared"}
    if kind < 0.78:
        one = {"type": "object", "properties": {"kind": {"const": "a"}, "x": leaf(chance)}, "required": ["kind", "x"]}
        two = {"type": "object", "properties": {"kind": {"const": "b"}, "y": leaf(chance)}, "required": ["kind"]}
        return {"oneOf": [one, two]}
    return composite(chance, depth)


def composite(chance: random.Random, depth: int) -> dict[str, Any]:
    names = chance.sample(WORDS, chance.randint(1, 5))
    properties = {name: node(chance, depth - 1) for name in names}
    required = [name for name in names if chance.random() < 0.7]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def schema(number: int) -> dict[str, Any]:
    """A schema that grows with its number: from one property to four levels of objects and arrays."""
    chance = random.Random(number)
    made = composite(chance, 1 + number // 30)
    made["required"] = list(made["properties"])
    made["$defs"] = {"shared": {"type": "object", "properties": {"ref": leaf(chance)}, "required": ["ref"]}}
    return made


def tools(number: int) -> list[Tool]:
    """Up to four tools whose parameters grow with the number."""
    chance = random.Random(1000 + number)
    made = []
    for place in range(chance.randint(1, 4)):
        parameters = composite(chance, 1 + number // 10)
        parameters["$defs"] = {"shared": {"type": "object", "properties": {"ref": leaf(chance)}}}
        made.append(Tool(name=f"{chance.choice(WORDS)}_{place}", description="A tool.", parameters=parameters))
    return made
