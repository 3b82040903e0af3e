"""Numbers between bounds, as GBNF: the grammar itself can write no number outside them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from localai.core.errors import UnsupportedSchema

MOST = 10**15 - 1
"""The largest integer that is written; beyond it a JavaScript or float reader would lose digits."""
_DECIMALS = 12
_ENUMERATED = 1000


def integer(schema: Mapping[str, Any], path: str) -> str:
    """An integer that obeys minimum, maximum, their exclusive twins and multipleOf.

    Raises:
        UnsupportedSchema: The bounds are contradictory, too large, or the multiple cannot be written as a grammar.
    """
    low, high = _bounds(schema, 0, path)
    step = _decimal(schema.get("multipleOf", 1), path)
    if step == 1:
        return f"({_between(low, high, 0)})"
    if step != int(step) or step <= 0:
        raise UnsupportedSchema(f"{path}.multipleOf: only whole numbers can be enforced.", param=path)
    return _multiples(low, high, int(step), path)


def number(schema: Mapping[str, Any], path: str) -> str:
    """A number, with a fraction or without, that obeys minimum, maximum and their exclusive twins.

    Raises:
        UnsupportedSchema: The bounds are contradictory or too fine, or there is a multipleOf that is not 1.
    """
    if "multipleOf" in schema:
        if schema["multipleOf"] == 1:
            return integer(schema, path)
        raise UnsupportedSchema(f"{path}.multipleOf: cannot be enforced for fractions; use an integer.", param=path)
    keys = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    if not any(key in schema for key in keys):
        return '("-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})?)'
    finest = max(-min(0, int(_decimal(schema[key], path).as_tuple().exponent)) for key in keys if key in schema)
    if finest > _DECIMALS:
        raise UnsupportedSchema(f"{path}: a bound has more than {_DECIMALS} decimals.", param=path)
    choices: list[str] = []
    for decimals in sorted({0, max(finest, 1), max(finest, 2)}):
        low, high = _bounds(schema, decimals, path, empty=True)
        if low <= high:
            choices.append(_between(low, high, decimals))
    if not choices:
        raise UnsupportedSchema(f"{path}: no number lies between these bounds.", param=path)
    return f"({' | '.join(choices)})"


def _decimal(value: Any, path: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnsupportedSchema(f"{path}: a bound is not a number.", param=path)
    result = Decimal(repr(value))
    if not result.is_finite() or abs(result) > MOST:
        raise UnsupportedSchema(f"{path}: a bound is beyond {MOST}.", param=path)
    return result


def _bounds(schema: Mapping[str, Any], decimals: int, path: str, *, empty: bool = False) -> tuple[int, int]:
    """The lowest and highest allowed value, in units of the last decimal, both inclusive."""
    unit = Decimal(10) ** decimals
    low, high = -MOST, MOST
    if "minimum" in schema:
        low = max(low, _ceiling(_decimal(schema["minimum"], path) * unit))
    if "exclusiveMinimum" in schema:
        low = max(low, -_ceiling(-(_decimal(schema["exclusiveMinimum"], path) * unit)) + 1)
    if "maximum" in schema:
        high = min(high, -_ceiling(-(_decimal(schema["maximum"], path) * unit)))
    if "exclusiveMaximum" in schema:
        high = min(high, _ceiling(_decimal(schema["exclusiveMaximum"], path) * unit) - 1)
    if low > high and not empty:
        raise UnsupportedSchema(f"{path}: no integer lies between these bounds.", param=path)
    return low, high


def _ceiling(value: Decimal) -> int:
    whole = int(value)
    return whole + 1 if value > whole else whole


def _multiples(low: int, high: int, step: int, path: str) -> str:
    first = -(-low // step) * step
    count = (high - first) // step + 1
    if count <= 0:
        raise UnsupportedSchema(f"{path}: no multiple of {step} lies between these bounds.", param=path)
    if count <= _ENUMERATED:
        return "(" + " | ".join(f'"{value}"' for value in range(first, high + 1, step)) + ")"
    zeros = len(str(step)) - 1
    if step == 10**zeros and zeros < 12 and (low, high) == (-MOST, MOST):
        return f'("0" | "-"? [1-9] [0-9]{{0,{11 - zeros}}} "{"0" * zeros}")'
    raise UnsupportedSchema(
        f"{path}.multipleOf: can be enforced with bounds that leave at most {_ENUMERATED} values.", param=path
    )


def _between(low: int, high: int, decimals: int) -> str:
    parts: list[str] = []
    if high >= 0:
        parts.append(_natural(max(low, 0), high, decimals))
    if low < 0:
        parts.append(f'"-" ({_natural(max(1, -high), -low, decimals)})')
    return " | ".join(parts)


def _natural(low: int, high: int, decimals: int) -> str:
    """Unsigned values by their number of digits, without leading zeros before the point."""
    choices: list[str] = []
    for width in range(max(len(str(low)), decimals + 1), max(len(str(high)), decimals + 1) + 1):
        least = 0 if width == decimals + 1 else 10 ** (width - 1)
        start, end = max(low, least), min(high, 10**width - 1)
        if start <= end:
            choices.append(_span(str(start).zfill(width), str(end).zfill(width), decimals))
    return " | ".join(choices)


def _span(low: str, high: str, decimals: int) -> str:
    """All digit strings between two of the same length, with the point before the last `decimals` digits."""
    if not low:
        return ""
    point = '"." ' if decimals and len(low) == decimals else ""
    rest = len(low) - 1
    if low.strip("0") == "" and high.strip("9") == "":
        return point + f"[0-9] {_digits(rest, decimals)}".rstrip()
    if low[0] == high[0]:
        return point + f'"{low[0]}" {_span(low[1:], high[1:], decimals)}'.rstrip()
    first, last = int(low[0]), int(high[0])
    choices: list[str] = []
    if low[1:].strip("0"):
        choices.append(f'"{first}" {_span(low[1:], "9" * rest, decimals)}')
        first += 1
    tail = ""
    if high[1:].strip("9"):
        tail = f'"{last}" {_span("0" * rest, high[1:], decimals)}'
        last -= 1
    if first <= last:
        choices.append(f"[{first}-{last}] {_digits(rest, decimals)}".rstrip())
    if tail:
        choices.append(tail)
    return f"{point}({' | '.join(choices)})"


def _digits(count: int, decimals: int) -> str:
    if not count:
        return ""
    if not decimals or count < decimals:
        return f"[0-9]{{{count}}}"
    before = f"[0-9]{{{count - decimals}}} " if count > decimals else ""
    return f'{before}"." [0-9]{{{decimals}}}'
