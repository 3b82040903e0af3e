"""GET /v1/models: what is installed."""

from collections.abc import Sequence
from typing import Any

from localai.core.model import Model


def row(model: Model) -> dict[str, Any]:
    """One model, with how many tokens it takes where its file says so (as vLLM does)."""
    fields = {"id": model.name, "object": "model", "created": model.created, "owned_by": "localai"}
    return {**fields, "max_model_len": model.context} if model.context else fields


def listing(models: Sequence[Model]) -> dict[str, Any]:
    """All models."""
    return {"object": "list", "data": [row(model) for model in models]}
