"""Reads GBNF grammars into trees."""

from dataclasses import dataclass
from typing import NoReturn

from localai.core.errors import UnsupportedSchema

_DEPTH = 64
_REPEATS = 10_000
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]"}
_LONG = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True)
class Text:
    """These characters."""

    text: str


@dataclass(frozen=True)
class OneOf:
    """One character inside (or, negated, outside) these ranges."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool


@dataclass(frozen=True)
class Rule:
    """Another rule."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """One after the other."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Either:
    """One of them."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Times:
    """Several times; `most` None means without end."""

    part: "Expression"
    least: int
    most: int | None


Expression = Text | OneOf | Rule | Sequence | Either | Times


def parse(grammar: str) -> dict[str, Expression]:
    """Read a grammar into its rules.

    Raises:
        UnsupportedSchema: It has a syntax error.
    """
    return _Parser(grammar).rules()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rules(self) -> dict[str, Expression]:
        found: dict[str, Expression] = {}
        self._blank(lines=True)
        while self._at < len(self._text):
            name = self._name()
            self._blank(lines=False)
            if not self._text.startswith("::=", self._at):
                self._refuse("'::=' is missing")
            self._at += 3
            self._blank(lines=True)
            found[name] = self._either(0)
            if self._peek() not in {"", "\n", "\r"}:
                self._refuse("something is left over")
            self._blank(lines=True)
        return found

    def _either(self, depth: int) -> Expression:
        if depth > _DEPTH:
            self._refuse(f"more than {_DEPTH} groups within each other")
        parts = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            self._blank(lines=True)
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _sequence(self, depth: int) -> Expression:
        parts: list[Expression] = []
        while (char := self._peek()) and char not in "|)\n\r":
            parts.append(self._repeated(self._atom(char, depth), depth))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self, char: str, depth: int) -> Expression:
        if char == '"':
            return self._literal()
        if char == "[":
            return self._bracket()
        if char == ".":
            self._at += 1
            return OneOf((), negated=True)
        if char == "(":
            self._at += 1
            self._blank(lines=True)
            inner = self._either(depth + 1)
            self._blank(lines=True)
            if self._peek() != ")":
                self._refuse("')' is missing")
            self._at += 1
            return inner
        return Rule(self._name())

    def _repeated(self, part: Expression, depth: int) -> Expression:
        self._blank(lines=depth > 0)
        while self._peek() and self._peek() in "*+?{":
            part = Times(part, *self._bounds())
            self._blank(lines=depth > 0)
        return part

    def _bounds(self) -> tuple[int, int | None]:
        char = self._peek()
        self._at += 1
        if char != "{":
            return {"*": (0, None), "+": (1, None)}.get(char, (0, 1))
        closing = self._text.find("}", self._at)
        low, comma, high = (part.strip() for part in self._text[self._at : max(closing, 0)].partition(","))
        if not low.isdecimal() or (high and not high.isdecimal()) or len(low) > 6 or len(high) > 6:
            self._refuse("a repetition is not {n}, {n,} or {n,m}")
        self._at = closing + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > _REPEATS or (most is not None and most < least):
            self._refuse("a repetition is too large or has its bounds reversed")
        return least, most

    def _literal(self) -> Expression:
        self._at += 1
        text = ""
        while (char := self._peek()) != '"':
            if char in {"", "\n"}:
                self._refuse("a text is not closed")
            text += self._character()
        self._at += 1
        return Text(text)

    def _bracket(self) -> Expression:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[int, int]] = []
        while (char := self._peek()) != "]":
            if char in {"", "\n"}:
                self._refuse("a [...] is not closed")
            low = high = ord(self._character())
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                high = ord(self._character())
            ranges.append((low, high))
        self._at += 1
        return OneOf(tuple(ranges), negated=negated)

    def _character(self) -> str:
        char = self._peek()
        self._at += 1
        if char != "\\":
            return char
        kind = self._peek()
        self._at += 1
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        digits = self._text[self._at : self._at + _LONG.get(kind, 0)]
        self._at += len(digits)
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            self._refuse("an escape is not known")

    def _name(self) -> str:
        start = self._at
        while (char := self._peek()) and char.isascii() and (char.isalnum() or char in "-_"):
            self._at += 1
        if start == self._at:
            self._refuse("a rule's name is missing")
        return self._text[start : self._at]

    def _blank(self, *, lines: bool) -> None:
        while char := self._peek():
            if char == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char in " \t" or (lines and char in "\r\n"):
                self._at += 1
            else:
                return

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _refuse(self, what: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        raise UnsupportedSchema(f"The grammar has an error in line {line}: {what}.", param="grammar")


def literal(text: str) -> str:
    """A text as a GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
