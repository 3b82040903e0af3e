"""Foretells what a model takes in memory, and how much context and how many slots it can have.

The figures are those of llama.cpp on a CPU, measured with the engine that is locked: see `tests/real/test_memory.py`.
"""

import platform
from collections.abc import Mapping
from typing import Any

from localai.core.errors import InvalidModel, NotEnoughMemory
from localai.core.model import Memory, Model, Sizing
from localai.loader.ggml import BY_NAME
from localai.loader.header import Header

SLOTS = 4
"""Requests at a time that a model gets by default when memory allows."""
STEP = 256
"""The engine rounds the context of a slot up to a multiple of this."""
LEAST_CONTEXT = 512
BATCH = 128

_PROCESS = 38 * 2**20
"""A worker before it loads anything: the interpreter, the engine's libraries, thread stacks."""
_TOKEN = 560
"""Bytes of a vocabulary's entry with its merge rules, as loaded."""
_CACHE_RAM = 256
"""MiB in which the engine keeps the caches of earlier conversations, unless its option says otherwise."""
_UNKNOWN_VOCABULARY = 32_000
_FULL, _HALF = 4, 2
_REPACKED = {
    "x86_64": frozenset(("Q4_0", "Q4_K", "IQ4_NL", "MXFP4")),
    "aarch64": frozenset(("Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4")),
}
"""Types that the engine stores a second time, in the order in which this processor reads them fastest."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def estimate(
    header: Header, *, context: int, slots: int, batch: int = BATCH, options: Mapping[str, Any] | None = None
) -> Memory:
    """Return the memory a model comes to take, for `slots` requests of `context` tokens.

    Args:
        header: What the file says.
        context: Tokens of one request.
        slots: Requests at a time.
        batch: Prompt tokens computed in one step.
        options: Engine options; `cache_type_k`, `cache_type_v`, `flash_attention` and `cache_ram` count here.
    """
    given = options or {}
    tokens = -(-context // STEP) * STEP
    return Memory(
        weights=header.tensor_bytes + _repacked(header),
        cache=_cache(header, tokens * slots, given) + header.state * slots * _FULL,
        compute=_compute(header, tokens, slots, batch, given),
        other=_PROCESS + _TOKEN * (header.vocabulary or _UNKNOWN_VOCABULARY) + _kept(header, given),
    )


def size(model: Model, header: Header | None, *, budget: int, context: int, threads: int) -> Sizing:
    """Return the context, slots and memory that a model gets.

    1. A context in the model file is kept; beyond the trained one it is an error unless `rope_` options stretch the
       model. The server's default shrinks to the trained one.
    2. Slots in the model file are kept; otherwise as many as fit, at most SLOTS.
    3. If one slot does not fit either, a default context is halved until it does; one in the model file is not.

    Args:
        model: The installed model.
        header: Its inspected header; None for an engine without a file, which takes what it is given.
        budget: Bytes that one model could ever get.
        context: The server's default context in tokens.
        threads: The server's threads for a model.

    Raises:
        InvalidModel: The model file asks for more context than the model was trained for.
        NotEnoughMemory: It does not fit; the message says how much it needs, how much there is and what would fit.
    """
    threads = model.threads or threads
    if header is None:
        memory = Memory(weights=model.size, other=_PROCESS)
        return Sizing(
            context=model.context or context, slots=model.slots or SLOTS, threads=threads, batch=BATCH, memory=memory
        )
    wanted = _wanted(model, header, context)
    plans = [
        _plan(model, header, tokens, slots, threads)
        for tokens in ([wanted] if model.context else _halves(wanted))
        for slots in ([model.slots] if model.slots else range(SLOTS, 0, -1))
    ]
    for plan in sorted(plans, key=lambda plan: -plan.context):
        if plan.memory.total <= budget:
            return plan
    raise NotEnoughMemory(_refusal(model, header, plans, budget), param="model")


def _wanted(model: Model, header: Header, context: int) -> int:
    wanted = model.context or context
    if not header.context or wanted <= header.context:
        return wanted
    if not model.context:
        return header.context
    if not any(key.startswith(("rope_", "yarn_")) for key in model.options):
        raise InvalidModel(
            f"The model file of `{model.name}` asks for a context of {wanted} tokens, and the model was trained for "
            f"{header.context}. Lower `context`, or stretch the model with its `rope_` options.",
            param="context",
        )
    return wanted


def _halves(wanted: int) -> list[int]:
    """The context, then half of it and so on, in whole steps, down to LEAST_CONTEXT."""
    found = [wanted]
    while found[-1] // 2 >= LEAST_CONTEXT:
        found.append(found[-1] // 2 // STEP * STEP)
    return found


def _plan(model: Model, header: Header, context: int, slots: int, threads: int) -> Sizing:
    batch = context if pooled(header) else min(BATCH, context)
    memory = estimate(header, context=context, slots=slots, batch=batch, options=model.options)
    extra = max(model.size - header.size, 0)
    whole = Memory(weights=memory.weights + extra, cache=memory.cache, compute=memory.compute, other=memory.other)
    return Sizing(context=context, slots=slots, threads=threads, batch=batch, memory=whole)


def pooled(header: Header) -> bool:
    """Whether the model makes one vector or score of a text, for which the whole text must be in one batch."""
    return not header.causal or header.pooling not in {None, "none"}


def _cache(header: Header, tokens: int, options: Mapping[str, Any]) -> int:
    if not header.causal:
        return 0
    keys = sum(header.heads_kv) * header.key_length * tokens
    values = sum(header.heads_kv) * header.value_length * tokens
    return _stored(keys, options.get("cache_type_k")) + _stored(values, options.get("cache_type_v"))


def _stored(numbers: int, kind: Any) -> int:
    """Bytes of this many cached numbers in the named type; F16 when it is none we know."""
    form = BY_NAME.get(str(kind).upper()) or BY_NAME["F16"]
    return -(-numbers // form.block) * form.size


def _kept(header: Header, options: Mapping[str, Any]) -> int:
    """Bytes for the caches of earlier conversations; a model that keeps none of its own has none."""
    wanted = options.get("cache_ram", _CACHE_RAM)
    sane = isinstance(wanted, int) and wanted > 0 and not pooled(header)
    return wanted * 2**20 if sane else 0


def _repacked(header: Header) -> int:
    machine = platform.machine().lower()
    kinds = _REPACKED.get(_MACHINES.get(machine, machine), frozenset[str]())
    return sum(taken for kind, taken in header.matrices.items() if kind in kinds)


def _compute(header: Header, context: int, slots: int, batch: int, options: Mapping[str, Any]) -> int:
    """Activations of one batch, its attention mask and the logits of every slot."""
    layers = 3 if header.gated or header.causal else 1
    hidden = (layers * header.feed_forward + 5 * header.embedding) * batch * _FULL
    mask = batch * context * _HALF
    scores = 0 if options.get("flash_attention", True) else header.heads * batch * context * _FULL
    work = header.feed_forward * batch * _FULL
    logits = 4 * header.vocabulary * slots * _FULL
    return hidden + mask + scores + work + logits


def _refusal(model: Model, header: Header, plans: list[Sizing], budget: int) -> str:
    least = min(plans, key=lambda plan: plan.memory.total)
    need = least.memory
    said = (
        f"`{model.name}` needs {_shown(need.total)} of memory ({_shown(need.weights)} for weights, "
        f"{_shown(need.cache)} for {least.slots} x {least.context} tokens of context), "
        f"but a model may have {_shown(budget)}."
    )
    fits = [
        tokens
        for tokens in _halves(least.context)
        if _plan(model, header, tokens, 1, least.threads).memory.total <= budget
    ]
    if fits:
        return f"{said} With `context: {fits[0]}` and `slots: 1` in its model file it would fit."
    return f"{said} Use a smaller model or a smaller quantisation of it, or give the server more memory."


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
