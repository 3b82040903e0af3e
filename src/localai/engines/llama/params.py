"""A model and what it was granted, as the parameters of llama.cpp's server."""

import importlib
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from localai.core.errors import ModelLoadFailed
from localai.core.model import Model, Sizing

os.environ.setdefault("GOMP_SPINCOUNT", "500")
# The threads of one computation meet hundreds of times a token. By default they spin for milliseconds while they wait,
# and once anything else wants a core (a second busy model is enough) the one that still has work waits until the
# spinning ones are scheduled away: decoding can fall to a fortieth. After 500 turns they sleep, which costs nothing
# measurable when the machine is quiet (benchmarks/contention.py). Read when the library loads.
xllamacpp: Any = importlib.import_module("xllamacpp")
"""The binding is compiled and has no types."""

Mode = Literal["generate", "embed", "rerank"]
CACHE_RAM = 256
"""MiB of main memory for the caches of earlier conversations, unless the model file says otherwise."""

_CHECKPOINTS = 8
_HEAD = 64 * 1024
_POOLINGS = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
_SPECULATION = {
    "ngram-simple": "COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE",
    "ngram-map-k": "COMMON_SPECULATIVE_TYPE_NGRAM_MAP_K",
    "ngram-map-k4v": "COMMON_SPECULATIVE_TYPE_NGRAM_MAP_K4V",
    "ngram-mod": "COMMON_SPECULATIVE_TYPE_NGRAM_MOD",
}


def mode(model: Model, path: str) -> Mode:
    """What the server has to be started for: it can generate, embed or rank, but only one at a time."""
    tasks = set(model.tasks)
    if tasks & {"chat", "complete", "infill", "vision", "hearing"}:
        return "generate"
    if "rerank" in tasks or model.options.get("pooling") == "rank":
        return "rerank"
    if "embed" in tasks:
        return "embed"
    pooling = header_number(path, "pooling_type")
    if pooling == _POOLINGS["rank"]:
        return "rerank"
    return "embed" if pooling else "generate"


def header_number(path: str, key: str) -> int | None:
    """A 32-bit number that stands near the start of a GGUF's header, under ARCHITECTURE.key; None without it."""
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
    at = head.find(b"." + key.encode() + struct.pack("<I", 4))
    if at < 0:
        return None
    (number,) = struct.unpack_from("<I", head.ljust(_HEAD, b"\0"), at + len(key) + 5)
    return int(number)


def build(model: Model, sizing: Sizing, kind: Mode, socket: Path) -> Any:
    """Write the parameters.

    Raises:
        ModelLoadFailed: An option has a value that it cannot have.
    """
    params = xllamacpp.CommonParams()
    params.model.path = model.files["model"]
    params.model_alias = {"m"}
    params.n_parallel = sizing.slots
    params.n_ctx = sizing.context * sizing.slots
    params.kv_unified = False
    params.ctx_shift = False
    params.n_batch = params.n_ubatch = sizing.batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = sizing.threads
    params.fit_params = False
    params.warmup = True
    params.cache_ram_mib = CACHE_RAM
    params.n_ctx_checkpoints = _CHECKPOINTS
    params.use_jinja = True
    params.prefill_assistant = False
    if model.template is not None:
        params.chat_template = model.template
    _close(params, socket)
    if kind != "generate":
        # Such a model sees its whole input at once: nothing may be cut into batches.
        params.embedding = True
        params.n_batch = params.n_ubatch = sizing.context
        params.cache_ram_mib = 0
    if kind == "rerank":
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    _files(params, model)
    _options(params, model.options)
    return params


def _close(params: Any, socket: Path) -> None:
    """Leave nothing open but a Unix socket in the run folder, and say nothing but errors."""
    params.hostnames = [str(socket)]
    params.n_threads_http = 2
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    params.endpoint_metrics = False
    params.models_autoload = False
    params.offline = True
    params.sse_ping_interval = -1
    params.verbosity = 1


def _files(params: Any, model: Model) -> None:
    if "mmproj" in model.files:
        params.mmproj.path = model.files["mmproj"]
    adapters: list[Any] = []
    for adapter in model.adapters:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path = adapter.path
        info.scale = adapter.scale
        adapters.append(info)
    params.lora_adapters = adapters
    if "draft" in model.files:
        params.speculative.draft.mparams.path = model.files["draft"]
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]


def _options(params: Any, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        setter = _SETTERS.get(name)
        if setter is None:
            raise ModelLoadFailed(f"The option {name!r} is not known to the engine llama; its manifest lists them.")
        try:
            setter(params, value)
        except (KeyError, AttributeError, TypeError, ValueError, OverflowError):
            raise ModelLoadFailed(f"The option {name!r} cannot be {value!r}.") from None


def _cache(params: Any, value: Any, side: str) -> None:
    setattr(params, f"cache_type_{side}", getattr(xllamacpp.ggml_type, f"GGML_TYPE_{str(value).upper()}"))


def _cache_ram(params: Any, value: Any) -> None:
    if int(value) < 0:
        raise ValueError
    params.cache_ram_mib = int(value)


def _flash(params: Any, value: Any) -> None:
    name = {True: "ENABLED", False: "DISABLED"}[value]
    params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{name}")


def _mmap(params: Any, value: Any) -> None:
    if not {True: True, False: False}[value]:
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE


def _mlock(params: Any, value: Any) -> None:
    if {True: True, False: False}[value]:
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP_MLOCK


def _pooling(params: Any, value: Any) -> None:
    params.pooling_type = xllamacpp.llama_pooling_type(_POOLINGS[value])


def _speculation(params: Any, value: Any) -> None:
    params.speculative.types = [getattr(xllamacpp.common_speculative_type, _SPECULATION[value])]


def _plain(name: str, kind: type[int] | type[float]) -> Callable[[Any, Any], None]:
    return lambda params, value: setattr(params, name, kind(value))


def _draft(name: str, kind: type[int] | type[float]) -> Callable[[Any, Any], None]:
    return lambda params, value: setattr(params.speculative.draft, name, kind(value))


_SETTERS: dict[str, Callable[[Any, Any], None]] = {
    "cache_type_k": lambda params, value: _cache(params, value, "k"),
    "cache_type_v": lambda params, value: _cache(params, value, "v"),
    "flash_attention": _flash,
    "cache_ram": _cache_ram,
    "gpu_layers": _plain("n_gpu_layers", int),
    "mmap": _mmap,
    "mlock": _mlock,
    "pooling": _pooling,
    "rope_freq_base": _plain("rope_freq_base", float),
    "rope_freq_scale": _plain("rope_freq_scale", float),
    "speculation": _speculation,
    "draft_max": _draft("n_max", int),
    "draft_min": _draft("n_min", int),
    "draft_p_min": _draft("p_min", float),
}
