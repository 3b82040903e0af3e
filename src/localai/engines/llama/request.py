"""A generation as a request body for llama.cpp: every field is written by us, under its own name."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from localai.core.errors import InvalidRequest
from localai.core.model import Model
from localai.core.task import Generate, Sampling

_SAME = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
    "dynatemp_range", "dynatemp_exponent", "repeat_penalty", "presence_penalty", "frequency_penalty",
    "dry_multiplier", "dry_base", "dry_allowed_length", "mirostat", "mirostat_tau", "mirostat_eta",
    "adaptive_target", "adaptive_decay", "min_keep",
)  # fmt: skip
_SAMPLERS = {
    "penalties": "penalties", "dry": "dry", "top_n_sigma": "top_n_sigma", "top_k": "top_k", "typ_p": "typ_p",
    "typical_p": "typ_p", "top_p": "top_p", "min_p": "min_p", "xtc": "xtc", "temperature": "temperature",
    "temp": "temperature", "adaptive_p": "adaptive_p", "infill": "infill",
}  # fmt: skip
_SEEDS = 2**32 - 1
_BIAS = 100.0


def body(task: Generate, model: Model, *, context: int, vocabulary: int) -> dict[str, Any]:
    """Write everything but the prompt and the constraint.

    Args:
        task: What was asked.
        model: Its defaults stand behind the request's own values.
        context: Tokens of one request; "all of it" for windows given as a negative number.
        vocabulary: Number of token ids, to check biases.

    Raises:
        InvalidRequest: A field has a value that this model cannot take.
    """
    written: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "cache_prompt": task.cache,
        "n_predict": limit(task, model),
        **_sampling(defaulted(task.sampling, model.parameters), context, vocabulary),
    }
    stops = [text for text in dict.fromkeys((*task.stop, *model.stop)) if text]
    if stops:
        # Only the verbose answer says which of them was met.
        written |= {"stop": stops, "verbose": True}
    if task.adapters:
        written["lora"] = _adapters(task.adapters, model)
    return written


def limit(task: Generate, model: Model) -> int:
    """Ceiling of generated tokens; -1 for what is left of the context."""
    asked = task.max_tokens if task.max_tokens is not None else model.max_tokens
    return -1 if asked is None else min(max(asked, 0), 2**31 - 1)


def defaulted(asked: Sampling, defaults: Sampling) -> Sampling:
    """The request's values, and the model's where the request says nothing."""
    # By identity: 0.0 is a temperature that was asked for, though it equals False.
    given = {
        name: value
        for name in asked.__struct_fields__
        if (value := getattr(asked, name)) is not None and value is not False and value != ()
    }
    return msgspec.structs.replace(defaults, **given)


def _sampling(sampling: Sampling, context: int, vocabulary: int) -> dict[str, Any]:
    written = {name: value for name in _SAME if (value := getattr(sampling, name)) is not None}
    for name, value in written.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequest(f"{name} has to be a finite number.", param=name)
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        value = getattr(sampling, name)
        if value is not None:
            written[name] = context if value < 0 else min(value, context)
    if sampling.dry_sequence_breakers:
        written["dry_sequence_breakers"] = list(sampling.dry_sequence_breakers)
    if sampling.seed is not None:
        # The highest value means "any seed" to the engine.
        written["seed"] = sampling.seed % _SEEDS
    if sampling.samplers is not None:
        written["samplers"] = _samplers(sampling.samplers)
    if sampling.logit_bias:
        written["logit_bias"] = [_bias(token, bias, vocabulary) for token, bias in sampling.logit_bias]
    if sampling.ignore_eos:
        written["ignore_eos"] = True
    return written


def _samplers(names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in _SAMPLERS]
    if unknown:
        known = ", ".join(sorted(set(_SAMPLERS.values())))
        raise InvalidRequest(f"There is no sampler {unknown[0]!r}; there are: {known}.", param="samplers")
    return [_SAMPLERS[name] for name in names]


def _bias(token: int, bias: float, vocabulary: int) -> list[Any]:
    if not 0 <= token < vocabulary:
        raise InvalidRequest(
            f"logit_bias names token {token}; this model has tokens 0 to {vocabulary - 1}.", param="logit_bias"
        )
    if math.isnan(bias):
        raise InvalidRequest("A logit_bias is not a number.", param="logit_bias")
    # -100 forbids and 100 forces; anything between is added as it is.
    return [token, False if bias <= -_BIAS else min(bias, _BIAS)]


def _adapters(asked: Sequence[tuple[str, float]], model: Model) -> list[dict[str, Any]]:
    """Scales of all adapters by their place: those not asked for are off."""
    places = {adapter.name: place for place, adapter in enumerate(model.adapters)}
    scales = dict.fromkeys(range(len(places)), 0.0)
    for name, scale in asked:
        if name not in places:
            known = ", ".join(sorted(places)) or "none"
            raise InvalidRequest(f"This model has no adapter {name!r}; it has: {known}.", param="adapters")
        scales[places[name]] = scale
    return [{"id": place, "scale": scale} for place, scale in scales.items()]
