"""Structured output on a model of 135 million parameters: what is promised holds, every time."""

import json
import random

import pytest
from jsonschema import Draft202012Validator

from llamas import Llama, calls, chat
from localai.core.model import Model, Sizing
from localai.core.task import Sampling, Schema, Tool, ToolChoice
from weights import smollm2

pytestmark = [pytest.mark.real, pytest.mark.slow]

SUBJECTS = ["a dog", "a city", "an invoice", "a recipe", "a planet", "a book", "a meeting", "a car", "a song", "a user"]
WORDS = ["name", "title", "age", "price", "tags", "active", "status", "items", "owner", "date", "email", "id", "notes"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    model = Model(name="smollm2", engine="llama", files={"model": str(smollm2())}, tasks=("chat",))
    made = Llama(tmp_path_factory.mktemp("run"), model, Sizing(context=4096, slots=1, threads=1))
    yield made
    made.engine.close()


def leaf(chance: random.Random) -> dict:
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


def node(chance: random.Random, depth: int) -> dict:
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


def composite(chance: random.Random, depth: int) -> dict:
    names = chance.sample(WORDS, chance.randint(1, 5))
    properties = {name: node(chance, depth - 1) for name in names}
    required = [name for name in names if chance.random() < 0.7]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def schema(number: int) -> dict:
    """A schema that grows with its number: from one property to four levels of objects and arrays."""
    chance = random.Random(number)
    made = composite(chance, 1 + number // 30)
    made["required"] = list(made["properties"])
    made["$defs"] = {"shared": {"type": "object", "properties": {"ref": leaf(chance)}, "required": ["ref"]}}
    return made


def test_a_hundred_schemas_of_growing_difficulty(llama):
    """Every one of 100 strict schemas is satisfied, greedily and at temperature 1."""
    failures = []
    for number in range(100):
        wanted = schema(number)
        asked = chat(
            f"Describe {SUBJECTS[number % 10]} as JSON.",
            form=Schema(schema=wanted),
            sampling=Sampling(temperature=0.0 if number % 2 else 1.0, seed=number),
        )
        answer, done = llama.say(asked)
        try:
            valid = Draft202012Validator(wanted, format_checker=Draft202012Validator.FORMAT_CHECKER)
            valid.validate(json.loads(answer))
            assert done.finish == "stop"
        except Exception as error:  # noqa: BLE001 - counted
            failures.append((number, done.finish, str(error)[:200], answer[:200]))
    assert not failures, f"{len(failures)} of 100: {failures[:3]}"


def tools(number: int) -> list[Tool]:
    chance = random.Random(1000 + number)
    made = []
    for place in range(chance.randint(1, 4)):
        parameters = composite(chance, 1 + number // 10)
        parameters["$defs"] = {"shared": {"type": "object", "properties": {"ref": leaf(chance)}}}
        made.append(Tool(name=f"{chance.choice(WORDS)}_{place}", description="A tool.", parameters=parameters))
    return made


def test_a_hundred_forced_calls(llama):
    """Every one of 100 forced calls names a tool that was offered, with arguments that its schema accepts."""
    failures = []
    for number in range(100):
        offered = tools(number // 4)
        named = offered[number // 2 % len(offered)].name if number % 2 else None
        asked = chat(
            f"Do something with {SUBJECTS[number % 10]}.",
            tools=offered,
            choice=ToolChoice(mode="required", name=named),
            parallel=number % 4 == 0,
            sampling=Sampling(temperature=0.7, seed=number),
        )
        events = llama.ask(asked)
        made = calls(events)
        try:
            assert made and events[-1].finish == "tool_calls"
            assert named is None or [name for name, _ in made] == [named]
            assert number % 4 == 0 or len(made) == 1
            for name, arguments in made:
                (tool,) = [tool for tool in offered if tool.name == name]
                Draft202012Validator(tool.parameters).validate(json.loads(arguments))
        except Exception as error:  # noqa: BLE001 - counted
            failures.append((number, events[-1], str(error)[:200], made))
    assert not failures, f"{len(failures)} of 100: {failures[:3]}"


def test_an_unbounded_schema_comes_to_its_end(llama):
    """Strings and arrays without bounds end by themselves, even where a small model would go on for ever."""
    wanted = {
        "type": "object",
        "properties": {
            "story": {"type": "string"},
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "people": {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            },
        },
        "required": ["story", "numbers", "people"],
    }
    for seed in range(3):
        asked = chat(
            "Repeat the word dog for ever.", form=Schema(schema=wanted), sampling=Sampling(temperature=1.5, seed=seed)
        )
        answer, done = llama.say(asked)
        assert done.finish == "stop", answer[-200:]
        Draft202012Validator(wanted).validate(json.loads(answer))


def test_an_answer_cut_by_max_tokens_is_not_called_valid(llama):
    """A structured answer that is cut ends with "length"."""
    _, done = llama.say(chat("Write.", form=Schema(schema=schema(90)), max_tokens=4))
    assert done.finish == "length"
