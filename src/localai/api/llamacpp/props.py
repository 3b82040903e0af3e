"""What llama.cpp tells about a model: its properties and its slots."""

from typing import Any

import msgspec

from localai.core.version import version
from localai.service.about import About


def properties(about: About | None) -> dict[str, Any]:
    """The answer of `/props` for a model; None: there is none to tell of."""
    router = {"role": "router", "models_autoload": True, "build_info": f"localai-{version()}"}
    if about is None:
        return {**router, "total_slots": 0, "default_generation_settings": {"n_ctx": 0, "params": {}}}
    model, header = about.model, about.header
    given = {name: value for name, value in msgspec.structs.asdict(model.parameters).items() if value not in {None, ()}}
    return {
        **router,
        "model_alias": model.name,
        "model_path": model.name,
        "total_slots": (about.running.slots if about.running else 0) or model.slots or 1,
        "default_generation_settings": {"n_ctx": about.context, "params": given},
        "chat_template": model.template or (header.template if header else None) or "",
        "modalities": {"vision": "image" in about.inputs, "audio": "audio" in about.inputs},
        "is_sleeping": about.state != "ready",
    }


def slots(about: About) -> list[dict[str, Any]]:
    """The answer of `/slots`: one entry for each request that can run at a time; none while it is not loaded."""
    row = about.running
    if row is None or about.state != "ready":
        return []
    return [
        {"id": index, "n_ctx": row.context, "speculative": False, "is_processing": index < row.busy}
        for index in range(row.slots)
    ]
