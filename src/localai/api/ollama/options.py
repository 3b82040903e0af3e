"""`options`: how the next token is chosen, how much is written, and how much room there is."""

from typing import Annotated

from pydantic import Field

from localai.api.ollama.fields import Anything
from localai.api.openai.fields import TOKEN_LIMIT, Body, Positive, Stops, Unit, Whole
from localai.api.openai.sampling import SEEDS
from localai.core.task import Sampling

_SAME = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
)

IDLE = (
    "f16_kv",
    "logits_all",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_gpu",
    "num_keep",
    "num_thread",
    "numa",
    "penalize_newline",
    "tfs_z",
    "use_mlock",
    "use_mmap",
    "vocab_only",
)
"""Options that change nothing: the planner decides how a model is loaded, and two samplers are no more."""


class Options(Body):
    """Sampling and limits under Ollama's names. Options this server does not know are ignored."""

    temperature: Positive | None = None
    top_k: Annotated[Whole, Field(ge=-1, le=TOKEN_LIMIT)] | None = None
    top_p: Unit | None = None
    min_p: Unit | None = None
    typical_p: Unit | None = None
    repeat_penalty: Annotated[float, Field(ge=0, le=100)] | None = None
    repeat_last_n: Annotated[Whole, Field(ge=-1, le=2**20)] | None = None
    presence_penalty: Annotated[float, Field(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-100, le=100)] | None = None
    mirostat: Annotated[Whole, Field(ge=0, le=2)] | None = None
    mirostat_tau: Positive | None = None
    mirostat_eta: Positive | None = None
    seed: Annotated[Whole, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    stop: Stops | None = None
    num_predict: Annotated[Whole, Field(ge=-(2**31), le=2**63)] | None = None
    num_ctx: Annotated[Whole, Field(ge=0, le=2**24)] | None = None
    f16_kv: Anything = None
    logits_all: Anything = None
    low_vram: Anything = None
    main_gpu: Anything = None
    num_batch: Anything = None
    num_gpu: Anything = None
    num_keep: Anything = None
    num_thread: Anything = None
    numa: Anything = None
    penalize_newline: Anything = None
    tfs_z: Anything = None
    use_mlock: Anything = None
    use_mmap: Anything = None
    vocab_only: Anything = None

    def sampling(self) -> Sampling:
        """The sampling asked for; a negative seed is random, a `repeat_penalty` of 0 and a `top_k` of -1 are off."""
        given = {name: value for name in _SAME if (value := getattr(self, name)) is not None}
        if given.get("repeat_penalty") == 0:
            given["repeat_penalty"] = 1.0
        if given.get("top_k") == -1:
            given["top_k"] = 0
        seed = None if self.seed is None or self.seed < 0 else self.seed % SEEDS
        return Sampling(**given, seed=seed)

    @property
    def limit(self) -> int | None:
        """Most tokens to write; None for as many as there is room for (Ollama's -1 and -2, and 0)."""
        return None if self.num_predict is None or self.num_predict < 1 else min(self.num_predict, TOKEN_LIMIT)

    @property
    def room(self) -> int | None:
        """Tokens of context asked for; None for what the model has."""
        return self.num_ctx or None
