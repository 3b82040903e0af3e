"""What lists are asked with: how many, from where, in which order."""

from typing import Any, Literal, NamedTuple

from starlette.requests import Request

from localai.core.errors import InvalidRequest
from localai.storage.objects import PAGE


class Query(NamedTuple):
    """The parameters of a list."""

    limit: int
    order: Literal["asc", "desc"]
    after: str | None


def query(request: Request, *, default: int, most: int, order: Literal["asc", "desc"] = "desc") -> Query:
    """The parameters of a request for a list; more than fits into a page becomes a page.

    Raises:
        InvalidRequest: `limit` or `order` is not one.
    """
    given = request.query_params
    written = given.get("limit", str(default))
    limit = int(written) if written.isascii() and written.isdecimal() and len(written) < 10 else 0
    if not 1 <= limit <= most:
        raise InvalidRequest(f"`limit` must be a number from 1 to {most}.", param="limit")
    wanted = given.get("order", order)
    if wanted not in ("asc", "desc"):
        raise InvalidRequest("`order` must be `asc` or `desc`.", param="order")
    return Query(min(limit, PAGE), "asc" if wanted == "asc" else "desc", given.get("after") or None)


def listing(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page in OpenAI's shape."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
