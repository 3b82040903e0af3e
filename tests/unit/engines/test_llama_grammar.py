"""JSON schemas as grammars: whatever a grammar can say is valid, and what cannot be enforced is refused."""

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from localai.core.errors import UnsupportedSchema
from localai.engines.llama import lint
from localai.engines.llama.grammar import Bounds, from_schema
from sentences import sentence

FIELD = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "boolean"}}}
LIST = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node", "description": "the rest"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
    "$ref": "#/$defs/node",
}
UNION = {
    "oneOf": [
        {"type": "object", "properties": {"k": {"const": "a"}, "v": {"type": "integer"}}, "required": ["k", "v"]},
        {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]},
        {"type": "array", "items": {"type": "null"}, "maxItems": 2},
    ]
}
MERGED = {
    "allOf": [
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]},
        {"properties": {"a": {"maxLength": 4}, "b": {"enum": [1, "x", None]}}, "required": ["b"]},
    ]
}
ENFORCED = [
    *[{**FIELD, "required": required} for required in ([], ["a"], ["b"], ["c"], ["a", "c"], ["a", "b", "c"])],
    {**FIELD, "required": ["d"], "additionalProperties": {"type": "null"}},
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"never": False, "a": {"type": "null"}}},
    {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 3},
        "maxProperties": 4,
        "minProperties": 1,
    },
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{3}$"}, "additionalProperties": {"type": "boolean"}},
    {"type": "object"},
    {},
    True,
    {"type": "array", "items": {"type": "number", "minimum": -2.5, "maximum": 7}, "minItems": 2, "maxItems": 5},
    {"type": "array", "items": False},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "maxItems": 2},
    {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "boolean"}, "minItems": 3},
    {"type": "array", "uniqueItems": True, "maxItems": 1},
    {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
    {"type": "string", "minLength": 1, "anyOf": [{"maxLength": 3}, {"minLength": 2, "maxLength": 9}]},
    LIST,
    UNION,
    MERGED,
    {"type": "string", "pattern": "^[A-Z]{2}-\\d{3,5}$"},
    {"type": "string", "pattern": 'a"\\\\b'},
    {"type": "string", "pattern": "^(x|yz)+(-[a-c]+)*$"},
    {"type": "string", "pattern": '^[^a-z"]+$', "minLength": 3, "maxLength": 6},
    {"type": "string", "minLength": 300, "maxLength": 1000},
    {"type": "integer", "minimum": -100, "exclusiveMaximum": 1234},
    {"type": "integer", "minimum": 987},
    {"type": "integer", "maximum": -987},
    {"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 99},
    {"type": "integer", "multipleOf": 100},
    {"type": "integer", "minimum": 5, "exclusiveMinimum": True},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "maximum": -9.87},
    {"type": "number"},
    {"type": ["string", "integer", "null"], "minLength": 2, "maximum": 5},
    {"enum": ['a"b', "\\", "\n", 1.5, True, {"a": [1]}, "ünï"]},
    {"const": None},
    {"enum": [1, "a", None], "type": ["string", "null"]},
    *[
        {"type": "string", "format": form}
        for form in ("date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "uri", "hostname", "duration")
    ],
]


@pytest.mark.parametrize("schema", ENFORCED, ids=lambda schema: json.dumps(schema)[:60])
def test_every_sentence_of_a_grammar_is_valid(schema):
    """Random sentences of a schema's grammar are valid JSON against the schema, formats included."""
    grammar = from_schema(schema, Bounds())
    draft4 = isinstance(schema, dict) and isinstance(schema.get("exclusiveMinimum"), bool)
    judge = {"type": "integer", "exclusiveMinimum": 5} if draft4 else schema
    check = Draft202012Validator(judge, format_checker=Draft202012Validator.FORMAT_CHECKER)
    chance = random.Random(7)
    for _ in range(60):
        text = sentence(grammar, chance)
        check.validate(json.loads(text))


def test_nullable_is_or_null():
    """OpenAPI's `nullable` lets null in beside the type."""
    grammar = from_schema({"type": "boolean", "nullable": True}, Bounds())
    chance = random.Random(1)
    assert {sentence(grammar, chance) for _ in range(50)} == {"true", "false", "null"}


def test_every_order_of_optional_properties_can_be_said():
    """Each subset of the optional properties comes out, in the schema's order."""
    grammar = from_schema({**FIELD, "properties": {name: {"type": "null"} for name in "abc"}}, Bounds())
    chance = random.Random(3)
    said = {tuple(json.loads(sentence(grammar, chance))) for _ in range(400)}
    assert said == {(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")}


def nested(depth: int) -> dict:
    schema: dict = {}
    inner = schema
    for _ in range(depth):
        inner["properties"] = {"a": {}}
        inner = inner["properties"]["a"]
    return schema


def doubled(times: int) -> dict:
    schema: dict = {"type": "integer"}
    for _ in range(times):
        schema = {"anyOf": [schema, schema]}
    return schema


REFUSED = {
    "itself": {"$ref": "#"},
    "itself through a choice": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    "each other": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "itself beside more": {
        "$defs": {"a": {"type": "object", "anyOf": [{"$ref": "#/$defs/a"}, {"type": "object"}]}},
        "$ref": "#/$defs/a",
    },
    "itself for ever": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "remote reference": {"$ref": "https://example.com/schema.json"},
    "dangling reference": {"$ref": "#/$defs/nothing"},
    "too deep": nested(10_000),
    "2^n": doubled(30),
    "references that double": {
        "$defs": {
            **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(40)},
            "d40": {"type": "string"},
        },
        "$ref": "#/$defs/d0",
    },
    "huge": {"enum": ["x" * 300_000]},
    "minItems": {"type": "array", "minItems": 10**9},
    "minLength": {"type": "string", "minLength": 10**8},
    "not": {"not": {"type": "null"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 2}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "contains": {"type": "array", "contains": {"const": 1}},
    "patternProperties": {"type": "object", "patternProperties": {"^a": {}}},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "unknown keyword": {"type": "string", "maxLenght": 3},
    "minProperties": {"type": "object", "minProperties": 2},
    "maxProperties": {**FIELD, "maxProperties": 2},
    "overlapping oneOf": {"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]},
    "contradiction": {"allOf": [{"type": "string"}, {"type": "integer"}]},
    "empty range": {"type": "integer", "minimum": 5, "maximum": 4},
    "empty enum": {"enum": []},
    "enum of no type": {"enum": [1], "type": "string"},
    "enum beside pattern": {"enum": ["a"], "pattern": "^b$"},
    "type": {"type": "foo"},
    "type list": {"type": [{}]},
    "bound": {"minimum": "a"},
    "fine fraction": {"type": "number", "minimum": 1e-300},
    "huge bound": {"type": "number", "minimum": 1e300},
    "multiple": {"type": "number", "multipleOf": 0.1},
    "multiple of zero": {"type": "integer", "multipleOf": 0},
    "multiple of text": {"type": "integer", "multipleOf": "x"},
    "required but forbidden": {"required": ["a"], "additionalProperties": False},
    "boolean count": {"type": "string", "maxLength": True},
    "false": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "not a number": {"const": float("nan")},
    "surrogate": {"type": "object", "properties": {"\ud800": {}}},
    "format": {"type": "string", "format": "iri"},
    "look-ahead": {"type": "string", "pattern": "(?=a)"},
    "word boundary": {"type": "string", "pattern": "\\bfoo"},
    "back reference": {"type": "string", "pattern": "(a)\\1"},
    "repeated repetition": {"type": "string", "pattern": "(a|a)*{1000}{1000}"},
    "repeated nothing": {"type": "string", "pattern": "(a*)*"},
    "large repetition": {"type": "string", "pattern": "(x{1000}){1000}"},
    "unclosed": {"type": "string", "pattern": "[a-"},
    "half anchored": {"type": "string", "pattern": "^a|b$"},
    "pattern and length": {"type": "string", "pattern": "^abc$", "maxLength": 2},
    "list of items": {"type": "array", "items": [{"type": "string"}]},
}


@pytest.mark.parametrize("schema", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_enforced_is_refused_quickly(schema):
    """A schema that cannot be enforced is refused within a second, without fetching anything."""
    start = time.process_time()
    with pytest.raises(UnsupportedSchema) as refused:
        from_schema(schema, Bounds())
    assert time.process_time() - start < 1
    assert len(refused.value.message) < 1000


def test_a_refusal_names_keyword_and_place():
    """The message says which keyword, and under which path of the schema it stands."""
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"not": {}}}}}
    with pytest.raises(UnsupportedSchema, match=r"schema\.a\.items\.not") as refused:
        from_schema(schema, Bounds())
    assert refused.value.param == "schema.a.items"


def test_annotations_are_no_obstacle():
    """Titles, descriptions, examples, defaults and vendor keys say nothing about a value and are dropped."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "x",
        "title": "T",
        "type": "object",
        "properties": {"a": {"type": "boolean", "description": "d", "default": True, "examples": [1], "x-y": 1}},
        "required": ["a"],
        "$comment": "c",
    }
    assert json.loads(sentence(from_schema(schema, Bounds()), random.Random(0))).keys() == {"a"}


def test_what_has_no_bound_gets_one():
    """Strings and arrays without bounds end where the limits say, whatever the model wants."""
    small = Bounds(characters=300, items=8)
    grammar = from_schema({"type": "array", "items": {"type": "string"}}, small)
    chance = random.Random(0)
    longest = max(json.loads(sentence(grammar, chance, most=10_000)) for _ in range(3))
    assert len(longest) <= 8 and all(len(text) <= 300 for text in longest)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_numbers_stay_between_any_bounds(low, width, decimals):
    """Whatever the bounds, no sentence is outside them."""
    minimum, maximum = low / 10**decimals, (low + width) / 10**decimals
    kind = "number" if decimals else "integer"
    grammar = from_schema({"type": kind, "minimum": minimum, "maximum": maximum}, Bounds())
    chance = random.Random(low)
    for _ in range(20):
        assert minimum <= json.loads(sentence(grammar, chance)) <= maximum


@pytest.mark.parametrize("schema", ENFORCED, ids=lambda schema: json.dumps(schema)[:60])
def test_our_own_grammars_pass_our_own_check(schema):
    """What we write is what llama.cpp takes: no left recursion, no repetition that is too large in line."""
    grammar = from_schema(schema, Bounds(characters=300, items=16))
    lint.check(grammar)
