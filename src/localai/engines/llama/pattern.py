"""Regular expressions, read into a tree: the part of the language that is truly regular.

Literals, classes, groups, alternation and counted repetition; anchors only at the two ends. Everything else
(look-around, back references, word boundaries, flags) is refused, so that nothing is enforced by halves.
"""

from dataclasses import dataclass

from localai.core.errors import UnsupportedSchema

Ranges = tuple[tuple[int, int], ...]
"""Code points as inclusive ranges."""

PRINTABLE: Ranges = ((0x20, 0x7E), (0x80, 0xD7FF), (0xE000, 0x10FFFF))
_CLASSES: dict[str, Ranges] = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((0x20, 0x20),),
}
_CONTROLS = {"n": 0x0A, "t": 0x09, "r": 0x0D, "f": 0x0C}
_LENGTH = 2000
_REPEATS = 1999
_DEPTH = 32


@dataclass(frozen=True)
class CharSet:
    """One character out of these."""

    ranges: Ranges


@dataclass(frozen=True)
class Chain:
    """One part after the other."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Choice:
    """One of the parts."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Repeat:
    """A part several times; `most` None means without end."""

    part: "Node"
    least: int
    most: int | None


Node = CharSet | Chain | Choice | Repeat


def parse(text: str, path: str) -> tuple[Node, bool, bool]:
    """Read a pattern.

    Returns:
        Its tree, and whether it is anchored at the start and at the end.

    Raises:
        UnsupportedSchema: It uses something outside the supported part, or is too large.
    """
    if len(text) > _LENGTH:
        raise UnsupportedSchema(f"{path}: longer than {_LENGTH} characters.", param=path)
    start = text.startswith("^")
    slashes = len(text) - 1 - len(text[:-1].rstrip("\\"))
    end = text.endswith("$") and slashes % 2 == 0
    parser = _Parser(text[int(start) : len(text) - int(end)], path)
    tree = parser.choice(0)
    parser.finish()
    if (start or end) and isinstance(tree, Choice):
        raise UnsupportedSchema(f"{path}: put the alternatives between ^ and $ into a group.", param=path)
    return tree, start, end


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = path
        self._at = 0

    def finish(self) -> None:
        """Refuse what is left over."""
        if self._at < len(self._text):
            raise self._refused("an unmatched ')'")

    def choice(self, depth: int) -> Node:
        """Alternatives, up to a closing parenthesis or the end."""
        if depth > _DEPTH:
            raise self._refused(f"more than {_DEPTH} groups within each other")
        parts = [self._chain(depth)]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._chain(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _chain(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def _atom(self, depth: int) -> Node:
        char = self._take()
        match char:
            case "(":
                return self._group(depth)
            case "[":
                return self._bracket()
            case "\\":
                return CharSet(self._escape())
            case ".":
                return CharSet(PRINTABLE)
            case "^" | "$" | "*" | "+" | "?" | "{" | "}" | "]":
                raise self._refused(f"{char!r} where it cannot be enforced (escape it if it is meant as a character)")
            case _:
                return CharSet(((ord(char), ord(char)),))

    def _group(self, depth: int) -> Node:
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise self._refused("a group that starts with '(?'")
            self._at += 2
        inner = self.choice(depth + 1)
        if self._take() != ")":
            raise self._refused("an unclosed group")
        return inner

    def _repeated(self, part: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return part
        if self._peek() == "?":
            # A lazy repetition matches the same texts.
            self._at += 1
        if self._peek() and self._peek() in "*+?{":
            raise self._refused("a repetition of a repetition")
        return Repeat(part, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._peek())
        if simple is not None:
            self._at += 1
            return simple
        if self._peek() != "{":
            return None
        closing = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : closing].partition(",")
        if closing < 0 or not low.isdecimal() or (high and not high.isdecimal()) or len(low) > 6 or len(high) > 6:
            raise self._refused("a repetition that is not {n}, {n,} or {n,m}")
        self._at = closing + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > _REPEATS or (most is not None and most < least):
            raise self._refused(f"a repetition beyond {_REPEATS} or with its bounds reversed")
        return least, most

    def _escape(self) -> Ranges:
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.lower() in _CLASSES:
            return inverted(_CLASSES[char.lower()])
        if char in _CONTROLS:
            return ((_CONTROLS[char], _CONTROLS[char]),)
        if char in {"x", "u"}:
            digits = self._text[self._at : self._at + (2 if char == "x" else 4)]
            self._at += len(digits)
            try:
                point = int(digits, 16)
            except ValueError:
                raise self._refused(f"an incomplete \\{char}") from None
            return ((point, point),)
        if char.isalnum() or not char:
            raise self._refused(f"'\\{char}'")
        return ((ord(char), ord(char)),)

    def _bracket(self) -> Node:
        inverse = self._peek() == "^"
        self._at += inverse
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._member()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                high = self._member()
                if len(low) != 1 or len(high) != 1 or low[0][0] > high[0][1]:
                    raise self._refused("a range in [...] that makes no sense")
                ranges.append((low[0][0], high[0][1]))
            else:
                ranges += low
        self._at += 1
        return CharSet(inverted(tuple(ranges)) if inverse else tuple(ranges))

    def _member(self) -> Ranges:
        char = self._take()
        if not char:
            raise self._refused("an unclosed [...]")
        if char == "[" and self._peek() in {":", ".", "="}:
            raise self._refused("a POSIX class")
        return self._escape() if char == "\\" else ((ord(char), ord(char)),)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _refused(self, what: str) -> UnsupportedSchema:
        return UnsupportedSchema(f"{self._path}: the pattern has {what}, which cannot be enforced.", param=self._path)


def inverted(ranges: Ranges) -> Ranges:
    """All printable characters that are not in these ranges."""
    kept: list[tuple[int, int]] = []
    for start, end in PRINTABLE:
        at = start
        for low, high in sorted(ranges):
            if high < at or low > end:
                continue
            if low > at:
                kept.append((at, low - 1))
            at = high + 1
        if at <= end:
            kept.append((at, end))
    return tuple(kept)
