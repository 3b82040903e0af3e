"""GET /v1/models as Anthropic's clients read it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from localai.api import visit
from localai.api.anthropic import paging
from localai.api.dialect import spoken
from localai.api.openai.models import names
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.service.about import About


def is_asked(request: Request) -> bool:
    """Whether a client of Anthropic's asks on a route that two dialects share."""
    return spoken(request.scope) == "anthropic"


def named(request: Request) -> dict[str, str]:
    """The header in which Anthropic's clients look for the id of a request."""
    return {"request-id": visit.of(request).id}


def row(about: About, name: str) -> dict[str, Any]:
    """One model under one of its names, with the tokens it takes where they are known."""
    model = about.model
    return {
        "type": "model",
        "id": name,
        "display_name": name if name == model.name else f"{name} ({model.name})",
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": about.context or None,
        "max_tokens": model.max_tokens or about.context or None,
    }


def listing(models: Sequence[About], request: Request, caller: Caller) -> dict[str, Any]:
    """One page of models under all names, by `limit`, `after_id` and `before_id`.

    Raises:
        InvalidRequest: The limit is no number from 1 to 1000, both ids are given, or one names no model.
    """
    known = [(about, names(about.model, caller)) for about in models]
    rows = [row(about, first) for about, (first, *_) in known]
    rows += [row(about, name) for about, (_, *others) in known for name in others]
    ids = [each["id"] for each in rows]
    wanted = paging.asked(request)
    if wanted.before:
        end = _place(ids, wanted.before, "before_id")
        start = max(end - wanted.limit, 0)
        return paging.page(rows[start:end], more=start > 0)
    start = _place(ids, wanted.after, "after_id") + 1 if wanted.after else 0
    end = start + wanted.limit
    return paging.page(rows[start:end], more=end < len(rows))


def _place(ids: list[str], name: str, param: str) -> int:
    if name not in ids:
        raise InvalidRequest(f"There is no model `{name[:100]}`.", param=param)
    return ids.index(name)
