"""Durations, options and formats as Ollama's clients write them."""

import pytest
from pydantic import ValidationError

from localai.api.ollama.chat import ChatBody
from localai.api.ollama.fields import thinking
from localai.api.ollama.formats import constraint
from localai.api.ollama.options import IDLE, Options
from localai.api.ollama.schemas import plain
from localai.core.errors import UnsupportedSchema
from localai.core.task import AnyJson, FreeText, Sampling, Schema


def options(**fields):
    return Options.model_validate(fields)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0),
        (300, 300),
        (-1, -1),
        (2.5, 2.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("-1", -1),
        ("-1m", -60),
        ("300", 300),
        ("0", 0),
        ("10ms", 0.01),
        ("", None),
        (None, None),
    ],
)
def test_keep_alive(written, seconds):
    """A time is a number of seconds, or a text as Go writes durations; an empty one says nothing."""
    assert ChatBody.model_validate({"keep_alive": written}).keep_alive == seconds


@pytest.mark.parametrize("written", ["soon", "5 m", "5m!", "m", "--1", True, [5], "1y"])
def test_keep_alive_that_is_none(written):
    """Anything else is refused."""
    with pytest.raises(ValidationError):
        ChatBody.model_validate({"keep_alive": written})


def test_sampling():
    """Each sampling option reaches the task under its own name."""
    given = {
        "temperature": 0,
        "top_k": 5,
        "top_p": 0.5,
        "min_p": 0.1,
        "typical_p": 0.9,
        "repeat_penalty": 1.1,
        "repeat_last_n": -1,
        "presence_penalty": 1.5,
        "frequency_penalty": -1.5,
        "mirostat": 2,
        "mirostat_tau": 4.0,
        "mirostat_eta": 0.2,
        "seed": 7,
    }
    assert options(**given).sampling() == Sampling(**given)
    assert options().sampling() == Sampling()


def test_values_that_switch_off():
    """A negative seed is random, a penalty of 0 and a `top_k` of -1 are off."""
    assert options(seed=-1, repeat_penalty=0, top_k=-1).sampling() == Sampling(repeat_penalty=1.0, top_k=0)


@pytest.mark.parametrize(("asked", "limit"), [(None, None), (-1, None), (-2, None), (0, None), (1, 1), (9.0, 9)])
def test_num_predict(asked, limit):
    """Less than one token asks for as many as there is room for."""
    assert options(num_predict=asked).limit == limit


def test_num_ctx():
    """A context of 0 is the one the model has."""
    assert [options(num_ctx=asked).room for asked in (None, 0, 4096, 8192.0)] == [None, None, 4096, 8192]


def test_idle_options_take_any_value():
    """Options that change nothing here are never a reason to refuse."""
    assert options(**dict.fromkeys(IDLE, "x"), unknown=object()).sampling() == Sampling()


def test_formats():
    """No format is text, "json" (and an empty schema) any object, an object a schema."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert [constraint(wanted) for wanted in (None, "", "json", {}, schema)] == [
        FreeText(),
        FreeText(),
        AnyJson(),
        AnyJson(),
        Schema(schema=schema),
    ]
    for wrong in ("xml", 3, ["json"], True):
        with pytest.raises(ValidationError) as caught:
            ChatBody.model_validate({"format": wrong})
        assert caught.value.errors()[0]["loc"][0] == "format"


def test_openapi_schemas():
    """OpenAPI's older words are put as JSON schema says the same, at every depth."""
    written = {
        "type": "OBJECT",
        "properties": {
            "nullable": {"type": "string", "nullable": True},
            "kind": {"type": "string", "enum": ["a"], "nullable": True},
            "any": {"anyOf": [{"type": "integer"}], "nullable": True},
            "list": {"type": "array", "items": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
            "plain": {"type": "string", "nullable": False, "maximum": 5, "exclusiveMaximum": False},
            "absent": None,
        },
        "required": None,
    }
    assert plain(written, "format") == {
        "type": "object",
        "properties": {
            "nullable": {"type": ["string", "null"]},
            "kind": {"type": ["string", "null"], "enum": ["a", None]},
            "any": {"anyOf": [{"anyOf": [{"type": "integer"}]}, {"type": "null"}]},
            "list": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}},
            "plain": {"type": "string", "maximum": 5},
        },
    }


def test_json_schemas_stay_as_they_are():
    """A schema in today's words is not changed, properties named like keywords and null constants included."""
    schema = {
        "type": "object",
        "properties": {"type": {"const": None}, "items": {"default": None}, "required": {"enum": [None, "A"]}},
        "required": ["type"],
        "additionalProperties": False,
    }
    assert plain(schema, "format") == schema


def test_schemas_that_are_too_deep():
    """A schema without end is refused, not followed."""
    schema = {"type": "string"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UnsupportedSchema):
        plain(schema, "format")


@pytest.mark.parametrize(
    ("think", "asked"),
    [
        (None, (None, None)),
        (True, (True, None)),
        (False, (False, None)),
        ("none", (False, None)),
        ("low", (True, "low")),
    ],
)
def test_thinking(think, asked):
    """`think` is yes, no, or how much."""
    assert thinking(think) == asked
