"""JSON from strangers, read strictly: what two readers could take differently, or what is meant to hurt, is refused."""

import json
import re
from typing import Any

from localai.core.errors import MalformedBody

DEPTH = 64
"""Levels of nesting."""
CONTAINERS = 250_000
"""Objects and arrays in one body."""
NAMES = 16_384
"""Names in one object."""

_BOM = b"\xef\xbb\xbf"
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")
_TOO_DEEP = b"[" * (DEPTH + 1)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MIN, _MAX = -(2**63), 2**64 - 1


def loads(raw: bytes) -> Any:
    """Parse UTF-8 JSON (a byte order mark is skipped).

    Raises:
        MalformedBody: Not JSON, not UTF-8, nested deeper than `DEPTH`, more than `CONTAINERS` objects and arrays, a
            name twice or more than `NAMES` names in an object, an integer of more than 64 bits, a number that is
            not finite, half of a surrogate pair.
    """
    raw = raw.removeprefix(_BOM)
    _check_depth(raw)
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(f"The body is not valid JSON: line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    if _SURROGATE.search(raw):
        _check_surrogates(value)
    return value


def _check_depth(raw: bytes) -> None:
    """Peel pairs of brackets off, level by level; text inside strings does not count."""
    if raw.count(b"[") + raw.count(b"{") <= DEPTH:
        return
    brackets = _STRINGS.sub(b"", raw).translate(None, _NOT_BRACKETS)
    if len(brackets) > 2 * CONTAINERS:
        raise MalformedBody(f"The body has more than {CONTAINERS} objects and arrays.")
    brackets = brackets.translate(_SQUARE)
    for _ in range(DEPTH):
        if _TOO_DEEP in brackets:
            raise _too_deep()
        peeled = brackets.replace(b"[]", b"")
        if len(peeled) == len(brackets):
            return
        brackets = peeled
    if brackets:
        raise _too_deep()


def _too_deep() -> MalformedBody:
    return MalformedBody(f"The body is nested deeper than {DEPTH} levels.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBody("An object of the body has the same name twice.")
    if len(pairs) > NAMES:
        raise MalformedBody(f"An object of the body has more than {NAMES} names.")
    return found


def _integer(text: str) -> int:
    if len(text) <= 20 and _MIN <= (number := int(text)) <= _MAX:
        return number
    raise MalformedBody("An integer of the body does not fit into 64 bits.")


def _float(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise MalformedBody("A number of the body is too large.")
    return number


def _constant(name: str) -> Any:
    raise MalformedBody(f"`{name}` is not a JSON value.")


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedBody("A string of the body has half of a surrogate pair.") from None


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)
