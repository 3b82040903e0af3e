"""GET /api/tags and /api/ps: what is installed, and what is loaded."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from localai.api.ollama.clock import stamp
from localai.core.caller import Caller
from localai.core.model import Model
from localai.loader.header import Header
from localai.service.about import About

Json = dict[str, Any]

NEVER = stamp(10_982_000_000)
"""When a model expires that stays for ever, or that is answering: in the year 2318."""


def tags(models: Sequence[About], caller: Caller) -> Json:
    """The rows of what is installed; a model's other names have rows of their own."""
    return {"models": [_row(about, name) for about in models for name in _names(about.model, caller)]}


def running(models: Sequence[About], caller: Caller) -> Json:
    """The rows of what is loaded, each under a name this caller may use; `size` is what the process really holds."""
    rows: list[Json] = []
    for about in models:
        row = about.running
        if row is None or row.state != "ready":
            continue
        rows.append(
            {
                **_named(about, next(_names(about.model, caller), about.model.name)),
                "size": row.memory or row.estimated,
                "size_vram": 0,
                "context_length": row.context,
                "expires_at": NEVER if row.expires_at is None else stamp(row.expires_at),
            }
        )
    return {"models": rows}


def details(about: About) -> Json:
    """What kind of model it is."""
    header, engine = about.header, about.model.engine
    family = engine if header is None else header.architecture
    return {
        "parent_model": "",
        "format": engine if header is None else "gguf",
        "family": family,
        "families": [family],
        "parameter_size": "" if header is None else size_words(header.parameters),
        "quantization_level": "" if header is None else header.quantisation,
    }


def capabilities(model: Model, header: Header | None) -> list[str]:
    """What a model can do in Ollama's words; tools work with every model that chats, whatever its template knows."""
    said = {
        "completion": {"chat", "complete"},
        "tools": {"chat"},
        "insert": {"infill"},
        "vision": {"vision"},
        "audio": {"hearing"},
        "embedding": {"embed"},
    }
    found = [name for name, tasks in said.items() if tasks & set(model.tasks)]
    return [*found, "thinking"] if "chat" in model.tasks and _thinks(model, header) else found


def size_words(parameters: int) -> str:
    """A number of weights as people say it: "134.5M"."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= size:
            return f"{parameters / size:.1f}{unit}"
    return str(parameters) if parameters else ""


def digest(model: Model) -> str:
    """64 hex digits that change when the model does; models that are the same under two names share them."""
    stored = set(model.digests) == set(model.files)
    told = msgspec.structs.replace(model, name="", aliases=(), created=0 if stored else model.created)
    return hashlib.sha256(msgspec.msgpack.encode(told, order="deterministic")).hexdigest()


def _names(model: Model, caller: Caller) -> Iterator[str]:
    """A model's names, where this caller may use any; all of them, where no names are listed."""
    for name in (model.name, *model.aliases):
        if caller.allows(name) or caller.allows(model.name):
            yield name


def _row(about: About, name: str) -> Json:
    return {**_named(about, name), "modified_at": stamp(about.model.created), "size": about.model.size}


def _named(about: About, name: str) -> Json:
    return {"name": name, "model": name, "digest": digest(about.model), "details": details(about)}


def _thinks(model: Model, header: Header | None) -> bool:
    template = model.template or (header.template if header is not None else None) or ""
    return any(word in template for word in ("enable_thinking", "<think>", "reasoning_content"))
