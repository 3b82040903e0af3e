"""JSON strings as GBNF: of a length, after a pattern, or of a known format."""

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from localai.core.errors import UnsupportedSchema
from localai.engines.llama.pattern import PRINTABLE, Chain, CharSet, Choice, Node, Ranges, Repeat, parse

CHARACTER = r'[^"\\\x00-\x1F\x7F] | "\\" ["\\/bfnrt]'
"""One character of a JSON string. Numeric escapes are left out, so that one match is one character."""
MOST = 8192
"""Characters of the longest string; the ceiling of every string that names no smaller one."""

_NESTED = 16
"""Ceiling of an endless repetition within another: keeps the number of ways to read a text small."""
_EXPANDED = 20_000
_BLOCK = 256
_REPEATED = 1999
"""llama.cpp takes no repetition of 2000 or more."""
_ESCAPED = {0x22: r'"\\\""', 0x5C: r'"\\\\"', 0x0A: r'"\\n"', 0x09: r'"\\t"', 0x0D: r'"\\r"', 0x0C: r'"\\f"'}

_DATE = r"[12]\d{3}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_HOST = r"[a-zA-Z0-9]{1,20}(-[a-zA-Z0-9]{1,20}){0,3}(\.[a-zA-Z0-9]{1,20}(-[a-zA-Z0-9]{1,20}){0,3}){0,4}"
_URL = rf"https?://{_HOST}(:[1-9]\d{{0,3}})?(/[a-zA-Z0-9._~-]{{0,64}}){{0,12}}(\?[a-zA-Z0-9._~=&-]{{0,200}})?"
_OCTET = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": r"P(\d{1,4}D(T\d{1,4}H(\d{1,4}M)?)?|T\d{1,4}(H(\d{1,4}M(\d{1,4}S)?)?|M(\d{1,4}S)?|S)|\d{1,4}W)",
    "email": rf"[a-zA-Z0-9]{{1,20}}([._+-][a-zA-Z0-9]{{1,20}}){{0,3}}@{_HOST}\.[a-zA-Z]{{2,12}}",
    "hostname": _HOST,
    "ipv4": rf"{_OCTET}(\.{_OCTET}){{3}}",
    "ipv6": r"[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "uri": _URL,
    "url": _URL,
}
"""Formats that are enforced, as patterns of what is written (a subset of what the format allows)."""
IGNORED_FORMATS = frozenset({"password", "binary", "float", "double", "int64", "int32"})
"""Formats that say nothing about the text itself."""


Name = Callable[[str], str]
"""Keeps an expression as a rule of its own and gives its name: llama.cpp limits what may be repeated in line."""


def quoted(least: int, most: int, name: Name) -> str:
    """A string of so many characters, with its quotes; uses the rule `char`."""
    if most <= _BLOCK:
        return rf'"\"" char{{{least},{most}}} "\""'
    block = name(f"char{{{_BLOCK}}}")
    more = most - least
    parts = [(block, least // _BLOCK, least // _BLOCK), ("char", least % _BLOCK, least % _BLOCK)]
    parts += [(block, 0, max(more // _BLOCK - 1, 0)), ("char", 0, more % _BLOCK + (_BLOCK if more >= _BLOCK else 0))]
    body = " ".join(f"{part}{{{low},{high}}}" for part, low, high in parts if high)
    return rf'"\"" {body} "\""'


def string(schema: Mapping[str, Any], path: str, ceiling: int, name: Name) -> str | None:
    """A string with its quotes, after minLength, maxLength, pattern and format.

    Args:
        schema: The flat schema.
        path: Where it stands, for messages.
        ceiling: Characters of a string that names no maxLength.
        name: Keeps rules.

    Returns:
        The expression (it uses the rule `char`), or None when nothing limits the string but the ceiling.

    Raises:
        UnsupportedSchema: What the schema demands cannot be written as a grammar.
    """
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if (most is not None and most < least) or least > MOST:
        raise UnsupportedSchema(f"{path}: minLength and maxLength leave no length up to {MOST}.", param=path)
    form = schema.get("format")
    if form in IGNORED_FORMATS:
        form = None
    if form is not None and form not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise UnsupportedSchema(f"{path}.format: {form!r} cannot be enforced; these can: {known}.", param=path)
    if form is not None and "pattern" in schema:
        raise UnsupportedSchema(f"{path}: pattern and format together cannot be enforced.", param=path)
    if form is not None:
        return _matching(f"^({FORMATS[form]})$", f"{path}.format", least, most, ceiling, name)
    if "pattern" in schema:
        return _matching(schema["pattern"], f"{path}.pattern", least, most, ceiling, name)
    if least == 0 and most is None:
        return None
    top = min(max(least, ceiling) if most is None else most, MOST)
    return quoted(least, top, name)


def _matching(text: str, path: str, least: int, most: int | None, ceiling: int, name: Name) -> str:
    tree, start, end = parse(text, path)
    if start and end and isinstance(tree, Repeat) and isinstance(tree.part, CharSet):
        top = tree.most if most is None else most if tree.most is None else min(most, tree.most)
        low = max(tree.least, least)
        if top is not None and top < low:
            raise UnsupportedSchema(f"{path}: no length satisfies pattern, minLength and maxLength.", param=path)
        tree = Repeat(tree.part, low, top)
    anything = Repeat(CharSet(PRINTABLE), 0, None)
    before, after = () if start else (anything,), () if end else (anything,)
    whole = Chain((*before, tree, *after))
    endless = min(ceiling, most) if most is not None else ceiling
    while True:
        expression, short, long, size = _write(whole, endless, name)
        if size > _EXPANDED:
            raise UnsupportedSchema(f"{path}: the pattern is too large when its repetitions are counted.", param=path)
        if short < least:
            raise UnsupportedSchema(f"{path}: cannot be enforced together with minLength {least}.", param=path)
        if most is None or long <= most:
            return rf'"\"" {expression} "\""'
        if endless <= 1 or short > most:
            raise UnsupportedSchema(f"{path}: cannot be enforced together with maxLength {most}.", param=path)
        endless //= 2


def _write(node: Node, endless: int, name: Name) -> tuple[str, int, int, int]:
    """Write a tree: the expression, its shortest and longest text, and its size once repetitions are written out."""
    match node:
        case CharSet():
            return _characters(node.ranges), 1, 1, 1
        case Repeat(part=part, least=least, most=most):
            ceiling = min(endless, _NESTED) if _endless(part) else endless
            top = min(max(least, ceiling), _REPEATED) if most is None else min(most, _REPEATED)
            text, short, long, size = _write(part, min(endless, _NESTED) if top > 1 else endless, name)
            if short == 0 and top > 1:
                raise UnsupportedSchema("A pattern repeats something that may be empty, which cannot be enforced.")
            text = text if isinstance(part, CharSet) and text.startswith("[") else name(text)
            return f"{text}{{{least},{top}}}", short * least, long * top, size * max(top, 1)
        case Chain(parts=parts):
            written = [_write(part, endless, name) for part in parts]
            text = " ".join(part[0] for part in written) or '""'
            return f"({text})", sum(p[1] for p in written), sum(p[2] for p in written), sum(p[3] for p in written)
        case Choice(parts=parts):
            written = [_write(part, endless, name) for part in parts]
            text = " | ".join(part[0] for part in written)
            return f"({text})", min(p[1] for p in written), max(p[2] for p in written), sum(p[3] for p in written)
        case _:
            assert_never(node)


def _endless(node: Node) -> bool:
    match node:
        case CharSet():
            return False
        case Repeat(part=part, most=most):
            return most is None or _endless(part)
        case Chain(parts=parts) | Choice(parts=parts):
            return any(_endless(part) for part in parts)
        case _:
            assert_never(node)


def _characters(ranges: Ranges) -> str:
    """One character of a class as it stands in a JSON string: quotes, backslashes and line ends are escaped."""
    plain: list[str] = []
    escaped: list[str] = []
    for low, high in ranges:
        at = low
        for point in sorted(_ESCAPED):
            if at <= point <= high:
                escaped.append(_ESCAPED[point])
                plain += _range(at, point - 1)
                at = point + 1
        plain += _range(at, high)
    choices = [f"[{''.join(plain)}]"] if plain else []
    choices += escaped
    if not choices:
        raise UnsupportedSchema("A pattern has a character class that no printable character satisfies.")
    return choices[0] if len(choices) == 1 else f"({' | '.join(choices)})"


def _range(low: int, high: int) -> list[str]:
    """The printable part of a range, as GBNF writes it."""
    parts: list[str] = []
    for start, end in PRINTABLE:
        first, last = max(low, start), min(high, end)
        if first <= last:
            parts.append(_point(first) if first == last else f"{_point(first)}-{_point(last)}")
    return parts


def _point(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02X}"
    return f"\\u{point:04X}" if point < 0x10000 else f"\\U{point:08X}"
