"""What the query of a route may ask for."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from starlette.requests import Request

from localai.core.errors import InvalidRequest, NotFound

MOST = 100
"""Items of the longest page."""
_EVENTS = 2**31


class Page(NamedTuple):
    """A part of a list."""

    after: str | None
    limit: int
    order: Literal["asc", "desc"]


def asked(request: Request) -> Page:
    """The page that a query asks for: `limit` 1 to 100 (20), `order` asc or desc (desc), `after` an id.

    Raises:
        InvalidRequest: One of them is something else.
    """
    query = request.query_params
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise InvalidRequest("`order` must be `asc` or `desc`.", param="order")
    limit = _number(query.get("limit", "20"), "limit", MOST)
    if limit == 0:
        raise InvalidRequest(f"`limit` must be a number from 1 to {MOST}.", param="limit")
    return Page(query.get("after"), limit, "asc" if order == "asc" else "desc")


def cut(items: Sequence[dict[str, Any]], page: Page) -> tuple[Sequence[dict[str, Any]], bool]:
    """That part of a whole list, which is in the order `asc`, and whether there is more.

    Raises:
        NotFound: There is no item `after`.
    """
    ordered = items if page.order == "asc" else items[::-1]
    start = 0
    if page.after is not None:
        place = next((place for place, item in enumerate(ordered) if item["id"] == page.after), None)
        if place is None:
            raise NotFound("There is no such item in this list.", param="after")
        start = place + 1
    return ordered[start : start + page.limit], len(ordered) > start + page.limit


def streamed(request: Request) -> bool:
    """Whether the query asks for a stream.

    Raises:
        InvalidRequest: It is neither yes nor no.
    """
    given = request.query_params.get("stream", "false").lower()
    if given not in {"true", "false", "1", "0"}:
        raise InvalidRequest("`stream` must be `true` or `false`.", param="stream")
    return given in {"true", "1"}


def starting_after(request: Request) -> int | None:
    """The number of the event behind which a stream is to go on.

    Raises:
        InvalidRequest: It is no number.
    """
    given = request.query_params.get("starting_after")
    return None if given is None else _number(given, "starting_after", _EVENTS)


def _number(text: str, name: str, most: int) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else -1
    if not 0 <= number <= most:
        raise InvalidRequest(f"`{name}` must be a number from 0 to {most}.", param=name)
    return number
