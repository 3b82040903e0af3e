"""Pages of lists: how many, and behind or before which."""

from typing import Any, NamedTuple

from starlette.requests import Request

from localai.core.errors import InvalidRequest

LIMIT = 1000
"""Things on one page at most."""
_USUAL = 20


class Asked(NamedTuple):
    """One page of a list."""

    limit: int
    after: str | None
    before: str | None


def asked(request: Request) -> Asked:
    """Read `limit`, `after_id` and `before_id`.

    Raises:
        InvalidRequest: The limit is no number from 1 to 1000, or both ids are given.
    """
    given = request.query_params.get("limit", str(_USUAL))
    limit = int(given) if given.isascii() and given.isdecimal() and len(given) < 6 else 0
    if not 1 <= limit <= LIMIT:
        raise InvalidRequest(f"`limit` is a number from 1 to {LIMIT}.", param="limit")
    after = request.query_params.get("after_id") or None
    before = request.query_params.get("before_id") or None
    if after and before:
        raise InvalidRequest("Only one of `after_id` and `before_id` can be given.", param="before_id")
    return Asked(limit=limit, after=after, before=before)


def page(rows: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """The page object."""
    return {
        "data": rows,
        "has_more": more,
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
    }
