"""GET /v1/models: what is installed, with the fields that clients of llama.cpp and vLLM read beside OpenAI's."""

from collections.abc import Sequence
from typing import Any

from localai.core.caller import Caller
from localai.core.model import Model
from localai.fleet.snapshot import Shown
from localai.service.about import About

_STATUS: dict[Shown | None, str] = {
    None: "unloaded",
    "waiting": "loading",
    "starting": "loading",
    "ready": "loaded",
    "stopping": "unloaded",
    "resting": "unloaded",
}
"""llama.cpp's words for what a model does."""


def names(model: Model, caller: Caller) -> tuple[str, ...]:
    """The names under which this caller may use a model: its own first, then its aliases."""
    known = (model.name, *model.aliases)
    return known if caller.allows(model.name) else tuple(name for name in known if caller.allows(name))


def row(about: About, name: str) -> dict[str, Any]:
    """One model under one of its names; lengths are tokens, `root` is the installed model."""
    model = about.model
    fields: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": "localai",
        "root": model.name,
        "parent": None,
        "capabilities": list(model.tasks),
        "architecture": {"input_modalities": list(about.inputs), "output_modalities": list(about.outputs)},
        "status": status(about),
    }
    if about.context:
        fields |= {"context_length": about.context, "max_model_len": about.context}
    return {**fields, "meta": meta} if (meta := _meta(about)) else fields


def status(about: About) -> dict[str, Any]:
    """llama.cpp's `status` object; `failed` for a model that keeps failing."""
    found: dict[str, Any] = {"value": _STATUS[about.state]}
    return {**found, "failed": True, "exit_code": 1} if about.state == "resting" else found


def _meta(about: About) -> dict[str, Any]:
    """llama.cpp's `meta` object."""
    header = about.header
    if header is None:
        return {}
    facts = {
        "n_ctx_train": header.context,
        "n_ctx": about.context,
        "n_params": header.parameters,
        "n_vocab": header.vocabulary,
        "n_embd": header.embedding,
        "size": about.model.size,
    }
    return {name: value for name, value in facts.items() if value}


def listing(found: Sequence[About], caller: Caller) -> dict[str, Any]:
    """All models under all names: first the models themselves, then their aliases."""
    known = [(about, names(about.model, caller)) for about in found]
    firsts = [row(about, name) for about, (name, *_) in known]
    aliases = [row(about, name) for about, (_, *others) in known for name in others]
    return {"object": "list", "data": [*firsts, *aliases]}


def capabilities(found: Sequence[About], caller: Caller) -> dict[str, Any]:
    """What each model can do, takes and gives."""
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "capabilities": list(about.model.tasks),
                "input_modalities": list(about.inputs),
                "output_modalities": list(about.outputs),
                "context_length": about.context or None,
            }
            for about in found
            for name in names(about.model, caller)[:1]
        ],
    }
