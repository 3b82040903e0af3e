"""A request's body as a typed value: bounded JSON, then a pydantic model, with errors that name the field."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from localai.api import strict, visit
from localai.core.errors import InvalidRequest, MalformedBody

M = TypeVar("M", bound=BaseModel)

LARGE = 64 * 1024
"""Bodies of more bytes are parsed in a thread, so that the event loop goes on."""

_SHOWN = 64
"""Longest name of a field that is repeated to the client."""

Path = tuple[str | int, ...]


async def read(request: Request, kind: type[M]) -> M:
    """The body of `request` as a `kind`, whatever its content type says.

    Raises:
        MalformedBody: It is not (bounded, strict) JSON.
        InvalidRequest: A known field is missing or wrong; `param` names it.
        PayloadTooLarge: It is larger than the server takes.
    """
    raw = await request.body()
    if not raw.strip():
        raise MalformedBody("The body is empty; send a JSON object.")
    seen = visit.of(request)
    if len(raw) > LARGE:
        value, unknown = await asyncio.to_thread(parse, raw, kind, seen.named)
    else:
        value, unknown = parse(raw, kind, seen.named)
    seen.unknown_fields += unknown
    return value


def parse(raw: bytes, kind: type[M], named: str | None = None) -> tuple[M, int]:
    """Bytes as a `kind`, and how many of the top-level fields are unknown to it (and were dropped).

    A model that the path names (`named`) stands in place of the body's `model`.
    """
    data = strict.loads(raw)
    if not isinstance(data, dict):
        raise InvalidRequest("The body must be a JSON object.")
    found = cast("dict[str, Any]", data)
    if named is not None and "model" in _names(kind):
        found["model"] = named
    try:
        value = kind.model_validate(found)
    except ValidationError as error:
        raise _refusal(error, found) from None
    return value, len(found.keys() - _names(kind))


@lru_cache(maxsize=256)
def _names(kind: type[BaseModel]) -> frozenset[str]:
    names = set(kind.model_fields)
    for field in kind.model_fields.values():
        if field.alias:
            names.add(field.alias)
        if isinstance(field.validation_alias, str):
            names.add(field.validation_alias)
    return frozenset(names)


def _refusal(error: ValidationError, data: Any) -> InvalidRequest:
    """The error a person can use: of all that pydantic tried, what went furthest into the body."""
    tried = error.errors(include_url=False, include_input=False)
    paths = [_path(item["loc"], data) for item in tried]
    deepest = max(paths, key=len)
    messages = dict.fromkeys(
        _message(item["type"], item["msg"], item.get("ctx", {}))
        for item, path in zip(tried, paths, strict=True)
        if path == deepest
    )
    said = _either(list(messages)[:4])
    name = ".".join(str(part)[:_SHOWN] for part in deepest[:16])
    return InvalidRequest(f"`{name}` {said}." if name else f"The body {said}.", param=name or None)


def _either(messages: list[str]) -> str:
    """Alternatives as one phrase: "should be a valid string or a valid list"."""
    first, *others = messages
    return " or ".join((first, *(other.removeprefix("should be ") for other in others)))


def _path(location: Sequence[str | int], data: Any) -> Path:
    """The part of a pydantic location that is in the body; the names of union members are left out."""
    path: list[str | int] = []
    for position, part in enumerate(location):
        if _holds(data, part):
            path.append(part)
            data = data[part]
        elif position == len(location) - 1 and _may_hold(data, part):
            path.append(part)  # a field that is missing
    return tuple(path)


def _may_hold(data: Any, part: str | int) -> bool:
    return isinstance(data, Mapping) and str(part).isidentifier()


def _holds(data: Any, part: str | int) -> bool:
    """Whether `data[part]` is there."""
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(cast("list[Any]", data))


def _message(kind: str, text: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "missing":
            return "is required"
        case "union_tag_invalid":
            field = str(context.get("discriminator", "'type'")).strip("'")
            return f"has an unknown `{field}`; expected one of {context.get('expected_tags', '')}"
        case "union_tag_not_found":
            return f"needs the field `{str(context.get('discriminator', 'type')).strip(chr(39))}`"
        case "value_error" | "assertion_error":
            return text.removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
        case _:
            return text.removeprefix("Input ").rstrip(".")
