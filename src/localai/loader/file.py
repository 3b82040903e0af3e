"""The model file as a person writes it: the pydantic model behind `models/NAME.yaml` and its JSON Schema."""

import re
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from localai.core.errors import InvalidRequest
from localai.core.task import Sampling, Verb
from localai.loader import name as names

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(written: Any) -> Any:
    """Turn "10m", "1h30m", "90" or a number into seconds; -1 (and "-1", "forever") means for ever.

    Raises:
        ValueError: It is a text of another form.
    """
    if not isinstance(written, str):
        return written
    text = written.strip().lower()
    if text in {"-1", "forever"}:
        return -1.0
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError('should be a duration such as "10m", "1h30m" or a number of seconds; -1 for ever')
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)


def _named(written: str) -> str:
    try:
        return names.parse(written)
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _several(written: Any) -> Any:
    """One text may stand for a list of one."""
    return [written] if isinstance(written, str) else written


def _biases(written: Any) -> Any:
    """`logit_bias` as a mapping of token id to bias, or as pairs."""
    if isinstance(written, dict):
        return list(cast("dict[Any, Any]", written).items())
    return written


_LIMITED = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
Name = Annotated[str, AfterValidator(_named), WithJsonSchema({"type": "string", "pattern": names.PATTERN})]
Stop = Annotated[str, Field(min_length=1, max_length=1024)]
Role = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,31}$")]
File = Annotated[str, Field(min_length=1, max_length=1024)]
Small = Annotated[float, Field(ge=0, le=1)]
Wide = Annotated[float, Field(ge=-100, le=100)]


class Parameters(BaseModel):
    """What a request of this model takes when it says nothing else."""

    model_config = _LIMITED

    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_k: Annotated[int, Field(ge=0, le=10**6)] | None = None
    top_p: Small | None = None
    min_p: Small | None = None
    typical_p: Small | None = None
    top_n_sigma: Annotated[float, Field(ge=-1, le=100)] | None = None
    xtc_probability: Small | None = None
    xtc_threshold: Small | None = None
    dynatemp_range: Annotated[float, Field(ge=0, le=100)] | None = None
    dynatemp_exponent: Annotated[float, Field(ge=0, le=100)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    repeat_last_n: Annotated[int, Field(ge=-1, le=10**6)] | None = None
    presence_penalty: Wide | None = None
    frequency_penalty: Wide | None = None
    dry_multiplier: Annotated[float, Field(ge=0, le=100)] | None = None
    dry_base: Annotated[float, Field(ge=0, le=100)] | None = None
    dry_allowed_length: Annotated[int, Field(ge=0, le=10**6)] | None = None
    dry_penalty_last_n: Annotated[int, Field(ge=-1, le=10**6)] | None = None
    dry_sequence_breakers: Annotated[tuple[Stop, ...], Field(max_length=64)] | None = None
    mirostat: Annotated[int, Field(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Field(ge=0, le=100)] | None = None
    mirostat_eta: Small | None = None
    adaptive_target: Annotated[float, Field(ge=-1, le=1)] | None = None
    adaptive_decay: Small | None = None
    min_keep: Annotated[int, Field(ge=0, le=10**6)] | None = None
    samplers: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=32)] | None = None
    seed: Annotated[int, Field(ge=-1, lt=2**32)] | None = None
    ignore_eos: bool = False
    logit_bias: Annotated[
        tuple[tuple[Annotated[int, Field(ge=0, lt=2**31)], Wide], ...], BeforeValidator(_biases), Field(max_length=1024)
    ] = ()
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    stop: Annotated[tuple[Stop, ...], BeforeValidator(_several), Field(max_length=64)] = ()

    def sampling(self) -> Sampling:
        """Return the sampling part as the value that tasks carry."""
        return Sampling(**self.model_dump(exclude_defaults=True, exclude={"max_tokens", "stop"}))


class AdapterFile(BaseModel):
    """A LoRA adapter of the model."""

    model_config = _LIMITED

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    file: File = Field(description="`sha256:...` or a path inside the models folder.")
    scale: Annotated[float, Field(ge=-100, le=100)] = 1.0


class ModelFile(BaseModel):
    """One installed model; everything that is left out has a planned default."""

    model_config = _LIMITED

    name: Name = Field(description="The name in requests.")
    description: Annotated[str, Field(max_length=4096)] | None = None
    engine: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] | None = Field(
        default=None, description="What runs it; found by inspecting the file when left out."
    )
    files: dict[Role, File] = Field(
        default={}, max_length=1024, description="Role (model, mmproj, draft, ...) to `sha256:...` or a path inside."
    )
    source: Annotated[str, Field(max_length=4096)] | None = Field(default=None, description="Where it came from.")
    licence: Annotated[str, Field(max_length=256)] | None = None
    tasks: tuple[Verb, ...] = Field(default=(), description="What it is used for; found by inspection when empty.")
    aliases: Annotated[tuple[Name, ...], Field(max_length=64)] = Field(default=(), description="Other names.")
    context: Annotated[int, Field(ge=1, le=2**24)] | None = Field(
        default=None, description="Tokens of one request, prompt and answer together."
    )
    slots: Annotated[int, Field(ge=1, le=64)] | None = Field(default=None, description="Requests at the same time.")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    template: Annotated[str, Field(max_length=2**20)] | None = Field(
        default=None, description="A chat template (Jinja) instead of the one in the file."
    )
    system: Annotated[str, Field(max_length=2**20)] | None = Field(
        default=None, description="A system message for conversations that have none."
    )
    parameters: Parameters = Parameters()
    adapters: Annotated[tuple[AdapterFile, ...], Field(max_length=32)] = ()
    keep_alive: Annotated[
        Annotated[float, Field(ge=-1, le=10**9)] | None,
        BeforeValidator(seconds),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]}),
    ] = Field(default=None, description='How long it stays loaded when idle: "10m", "1h", seconds, -1 for ever.')
    options: dict[str, Any] = Field(default={}, max_length=64, description="Options of the engine.")

    def written(self) -> dict[str, Any]:
        """Return what has to be written down: the fields that differ from their defaults, in their order."""
        return self.model_dump(mode="json", exclude_defaults=True)
