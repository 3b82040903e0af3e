"""Structured output on a model of 135 million parameters: what is promised holds, every time."""

import json

import pytest
from jsonschema import Draft202012Validator

from llamas import Llama, calls, chat
from localai.core.model import Model, Sizing
from localai.core.task import Sampling, Schema, ToolChoice
from structures import SUBJECTS, schema, tools
from weights import smollm2

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    model = Model(name="smollm2", engine="llama", files={"model": str(smollm2())}, tasks=("chat",))
    made = Llama(tmp_path_factory.mktemp("run"), model, Sizing(context=4096, slots=1, threads=2))
    yield made
    made.engine.close()


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
