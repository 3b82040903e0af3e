"""Schemas that are small to write and huge to read, against the compiler alone (H20, H22)."""

import time
from typing import Any

import pytest

from localai.core.errors import UnsupportedSchema
from localai.core.task import Schema
from localai.engines.llama.constraint import Constraints


def doubling(depth: int) -> dict[str, Any]:
    """Definitions that each offer the next one twice: 2 to the power of `depth` ways to begin the same string."""
    definitions: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    definitions[f"d{depth}"] = {"type": "string"}
    return {"$defs": definitions, "$ref": "#/$defs/d0"}


def test_alternatives_that_multiply():
    """2^40 alternatives are refused before the engine has to follow each of them (H20)."""
    with pytest.raises(UnsupportedSchema):
        Constraints().format(Schema(schema=doubling(40)), 4096)


def test_ten_thousand_schemas_are_forgotten():
    """After 10,000 different schemas the compiler keeps 64 grammars at most (H22)."""
    compiler = Constraints()
    began = time.monotonic()
    for number in range(10_000):
        compiler.format(Schema(schema={"type": "object", "properties": {f"p{number}": {"type": "integer"}}}), 256)
    assert 0 < len(compiler) <= 64
    assert time.monotonic() - began < 60
