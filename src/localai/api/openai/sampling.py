"""How the next token is chosen, as clients of OpenAI, llama.cpp and vLLM ask for it."""

from typing import Annotated, Literal

from pydantic import Field

from localai.api.openai.fields import TOKEN_LIMIT, Biases, Body, Positive, Seconds, Stops, Tokens, Unit, Whole
from localai.core.task import Sampling

Sampler = Literal[
    "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature", "infill", "adaptive_p"
]
Window = Annotated[Whole, Field(ge=-1, le=2**20)]
"""A number of recent tokens; -1 means the whole context."""

SEEDS = 2**32 - 1
"""Engines take seeds below this number; larger ones are folded into the range."""

_SAME = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "dynatemp_range",
    "dynatemp_exponent",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "min_keep",
)


class Lora(Body):
    """A LoRA adapter of the model file, by name, with the scale to apply it at."""

    name: str = Field(min_length=1, max_length=256)
    scale: float = Field(default=1.0, ge=-100, le=100)


class Sampled(Body):
    """The fields that every generating request shares."""

    model: str | None = Field(default=None, max_length=512)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_k: Annotated[Whole, Field(ge=0, le=TOKEN_LIMIT)] | None = None
    top_p: Unit | None = None
    min_p: Unit | None = None
    typical_p: Unit | None = None
    top_n_sigma: Annotated[float, Field(ge=-1, le=1e6)] | None = None
    xtc_probability: Unit | None = None
    xtc_threshold: Unit | None = None
    dynatemp_range: Positive | None = None
    dynatemp_exponent: Positive | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    repeat_last_n: Window | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    dry_multiplier: Positive | None = None
    dry_base: Positive | None = None
    dry_allowed_length: Window | None = None
    dry_penalty_last_n: Window | None = None
    dry_sequence_breakers: Stops | None = None
    mirostat: Annotated[Whole, Field(ge=0, le=2)] | None = None
    mirostat_tau: Positive | None = None
    mirostat_eta: Positive | None = None
    min_keep: Annotated[Whole, Field(ge=0, le=TOKEN_LIMIT)] | None = None
    samplers: Annotated[list[Sampler], Field(max_length=16)] | None = None
    seed: Annotated[Whole, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    ignore_eos: bool | None = None
    logit_bias: Biases | None = None
    stop: Stops | None = None
    max_tokens: Tokens | None = None
    n: Annotated[Whole, Field(ge=1, le=16)] | None = None
    stream: bool | None = None
    cache_prompt: bool | None = None
    keep_alive: Seconds | None = None
    lora: Annotated[list[Lora], Field(max_length=16)] | None = None

    def sampling(self, choice: int = 0) -> Sampling:
        """The sampling of choice number `choice`; each choice of a seeded request has a seed of its own."""
        given = {name: value for name in _SAME if (value := getattr(self, name)) is not None}
        penalty = self.repeat_penalty if self.repeat_penalty is not None else self.repetition_penalty
        return Sampling(
            **given,
            repeat_penalty=penalty,
            dry_sequence_breakers=self.dry_sequence_breakers,
            samplers=tuple(self.samplers) if self.samplers else None,
            seed=self._seed(choice),
            ignore_eos=bool(self.ignore_eos),
            logit_bias=self.logit_bias or (),
        )

    def adapters(self) -> tuple[tuple[str, float], ...]:
        """The adapters asked for, by name and scale."""
        return tuple((lora.name, lora.scale) for lora in self.lora or ())

    def _seed(self, choice: int) -> int | None:
        """A negative seed asks for a random one, as in llama.cpp."""
        return None if self.seed is None or self.seed < 0 else (self.seed + choice) % SEEDS
