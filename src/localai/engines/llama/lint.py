"""Checks a user's grammar before the engine sees it, so that a bad one is a 400 and never ignored.

Refused are syntax errors, unknown rules, left recursion, token references and grammars that grow too large when
their repetitions are written out.
"""

from collections.abc import Iterator
from typing import assert_never

from localai.core.errors import UnsupportedSchema
from localai.engines.llama.gbnf import Either, Expression, OneOf, Rule, Sequence, Text, Times, parse

BYTES = 64 * 1024
_EXPANDED = 50_000
_INLINE = 2000
"""llama.cpp takes no repetition whose part, with the groups and repetitions in it, becomes so many rules."""
_VISITS = 32_768
"""Steps that llama.cpp's own search for left recursion may take; it may double with every rule otherwise."""


def check(grammar: str) -> None:
    """Read a user's grammar and refuse it when the engine could not follow it.

    Raises:
        UnsupportedSchema: With what is wrong and in which line.
    """
    if len(grammar.encode("utf-8", "replace")) > BYTES or "\0" in grammar:
        raise UnsupportedSchema(f"The grammar is larger than {BYTES // 1024} KiB or holds a NUL.", param="grammar")
    rules = parse(grammar)
    if "root" not in rules:
        raise UnsupportedSchema("The grammar has no rule `root`.", param="grammar")
    for name, expression in rules.items():
        for used in _used(expression):
            if used not in rules:
                raise UnsupportedSchema(
                    f"The grammar's rule {name!r} uses {used!r}, which is missing.", param="grammar"
                )
    if sum(_size(expression) for expression in rules.values()) > _EXPANDED:
        raise UnsupportedSchema("The grammar is too large when its repetitions are counted.", param="grammar")
    if any(_generated(expression) >= _INLINE for expression in rules.values()):
        raise UnsupportedSchema("The grammar repeats too much within repetitions.", param="grammar")
    _refuse_left_recursion(rules)
    if multiplies(rules):
        raise UnsupportedSchema(
            "The grammar takes too long to be read: too many rules begin with rules.", param="grammar"
        )


def multiplies(rules: dict[str, Expression]) -> bool:
    """Whether llama.cpp would follow too many ways through rules that begin with rules; there is no left recursion."""
    firsts = _firsts(rules)
    steps: dict[str, int] = {}
    for name in rules:
        _count_steps(name, firsts, steps)
    return sum(steps.values()) > _VISITS


def ends(rules: dict[str, Expression]) -> bool:
    """Whether a text of the grammar can ever be complete."""
    done: set[str] = set()
    while "root" not in done:
        more = {name for name, expression in rules.items() if name not in done and _ends(expression, done)}
        if not more:
            return False
        done |= more
    return True


def _ends(expression: Expression, done: set[str]) -> bool:
    match expression:
        case Text() | OneOf():
            return True
        case Rule(name=name):
            return name in done
        case Sequence(parts=parts):
            return all(_ends(part, done) for part in parts)
        case Either(parts=parts):
            return any(_ends(part, done) for part in parts)
        case Times(part=part, least=least):
            return least == 0 or _ends(part, done)
        case _:
            assert_never(expression)


def _used(expression: Expression) -> Iterator[str]:
    match expression:
        case Rule(name=name):
            yield name
        case Sequence(parts=parts) | Either(parts=parts):
            for part in parts:
                yield from _used(part)
        case Times(part=part):
            yield from _used(part)
        case Text() | OneOf():
            return
        case _:
            assert_never(expression)


def _size(expression: Expression) -> int:
    match expression:
        case Text(text=text):
            return len(text) + 1
        case OneOf() | Rule():
            return 1
        case Sequence(parts=parts) | Either(parts=parts):
            return 1 + sum(_size(part) for part in parts)
        case Times(part=part, least=least, most=most):
            return _size(part) * max(least, most or 0, 1)
        case _:
            assert_never(expression)


def _refuse_left_recursion(rules: dict[str, Expression]) -> None:
    """A rule that can begin with itself would never end."""
    firsts = _firsts(rules)
    begins = {name: set(first) for name, first in firsts.items()}
    for name in rules:
        reached: set[str] = set()
        ahead = set(begins[name])
        while ahead:
            reached |= ahead
            ahead = {following for rule in ahead for following in begins[rule]} - reached
        if name in reached:
            raise UnsupportedSchema(f"The grammar's rule {name!r} can begin with itself.", param="grammar")


def _firsts(rules: dict[str, Expression]) -> dict[str, list[str]]:
    """The rules that each rule can begin with, as often as it can."""
    empty: set[str] = set()
    while more := {name for name, part in rules.items() if name not in empty and _may_be_empty(part, empty)}:
        empty |= more
    return {name: list(_first(expression, empty)) for name, expression in rules.items()}


def _count_steps(name: str, firsts: dict[str, list[str]], steps: dict[str, int]) -> None:
    """Fill in how many rules are met when every first rule is followed; without recursion, as chains may be long."""
    waiting = [name]
    while waiting:
        rule = waiting[-1]
        open_ones = [first for first in firsts[rule] if first not in steps]
        if open_ones:
            waiting += open_ones
        else:
            steps[rule] = 1 + sum(steps[first] for first in firsts[rule])
            waiting.pop()


def _generated(expression: Expression) -> int:
    """Rules that llama.cpp makes of an expression: one for a group, several for a repetition."""
    match expression:
        case Text() | OneOf() | Rule():
            return 0
        case Sequence(parts=parts) | Either(parts=parts):
            return 1 + sum(_generated(part) for part in parts)
        case Times(part=part, least=least, most=most):
            return max(_generated(part), 1) * max(least, most or 1)
        case _:
            assert_never(expression)


def _may_be_empty(expression: Expression, empty: set[str]) -> bool:
    match expression:
        case Text(text=text):
            return not text
        case OneOf():
            return False
        case Rule(name=name):
            return name in empty
        case Sequence(parts=parts):
            return all(_may_be_empty(part, empty) for part in parts)
        case Either(parts=parts):
            return any(_may_be_empty(part, empty) for part in parts)
        case Times(part=part, least=least):
            return least == 0 or _may_be_empty(part, empty)
        case _:
            assert_never(expression)


def _first(expression: Expression, empty: set[str]) -> Iterator[str]:
    """Rules that the expression can begin with; a loop over something empty begins with itself too."""
    match expression:
        case Text() | OneOf():
            return
        case Rule(name=name):
            yield name
        case Sequence(parts=parts):
            for part in parts:
                yield from _first(part, empty)
                if not _may_be_empty(part, empty):
                    return
        case Either(parts=parts):
            for part in parts:
                yield from _first(part, empty)
        case Times(part=part, most=most):
            if (most is None or most > 1) and _may_be_empty(part, empty):
                raise UnsupportedSchema("The grammar repeats something that may be empty.", param="grammar")
            yield from _first(part, empty)
        case _:
            assert_never(expression)
