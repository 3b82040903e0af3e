"""Writes random sentences of a GBNF grammar: what a model could say at most, without a model."""

import random

from localai.engines.llama.gbnf import Either, Expression, OneOf, Rule, Sequence, Text, Times, parse

_PLAIN = 'abcxyz ABC0189äß€"\\{}[],:\n'


def sentence(grammar: str, chance: random.Random, *, most: int = 3) -> str:
    """One random sentence; repetitions are kept within `most` more than their least, or driven to their end."""
    return _write(parse(grammar), Rule("root"), chance, most, 0)


def _write(rules: dict[str, Expression], expression: Expression, chance: random.Random, most: int, depth: int) -> str:
    match expression:
        case Text(text=text):
            return text
        case OneOf():
            return _pick(expression, chance)
        case Rule(name=name):
            return _write(rules, rules[name], chance, most, depth + 1)
        case Sequence(parts=parts):
            return "".join(_write(rules, part, chance, most, depth) for part in parts)
        case Either(parts=parts):
            return _write(rules, chance.choice(parts), chance, most, depth)
        case Times(part=part, least=least, most=top):
            extra = 0 if depth > 60 else most
            high = least + extra if top is None else min(top, least + extra)
            if top is not None and depth < 20 and top <= 40 and chance.random() < 0.1:
                high = least = top
            return "".join(_write(rules, part, chance, most, depth) for _ in range(chance.randint(least, high)))


def _pick(expression: OneOf, chance: random.Random) -> str:
    if not expression.negated:
        low, high = chance.choice(expression.ranges)
        return chr(chance.choice((low, high, chance.randint(low, high))))
    while True:
        char = chance.choice(_PLAIN)
        if not any(low <= ord(char) <= high for low, high in expression.ranges):
            return char
