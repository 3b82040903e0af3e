"""JSON schemas as GBNF grammars: every text the grammar allows is valid against the schema.

White space is fixed (one space after a colon and a comma), optional properties keep the schema's order, and strings
and arrays that name no bound get a generous one, so that a small model cannot run on for ever.
"""

import json
from typing import Any

from localai.core.errors import UnsupportedSchema
from localai.core.task import Value
from localai.engines.llama import lint, numbers, strings
from localai.engines.llama.gbnf import literal, parse
from localai.engines.llama.schema import DEPTH, Schema, Schemas, merged, only_reference
from localai.engines.llama.union import disjoint, infer, is_of

_NESTING = 5
"""How deep a value goes whose schema allows anything."""
_ITEMS = 1000
_VALUES = 2000
_SIZE = 1024 * 1024


class Bounds(Value, frozen=True):
    """What an unbounded part of a schema may have at most."""

    characters: int = strings.MOST
    items: int = 256


def from_schema(schema: Schema, bounds: Bounds, path: str = "schema") -> str:
    """Write the grammar of a schema; its start is the rule `root`.

    Raises:
        UnsupportedSchema: Something in it cannot be enforced; names the keyword and the place.
    """
    compiler = Compiler(bounds)
    compiler.add("root", compiler.document(schema, path))
    return compiler.text()


class Compiler:
    """Collects rules; one compiler may take several schemas (the parameters of several tools)."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._rules: dict[str, str] = {}
        self._size = 0
        self._named: dict[str, str] = {}
        self._depth = 0
        self._recursive = False
        self._schemas: Schemas | None = None
        self.strings = 0
        """How many strings without a bound an answer may hold; those in arrays count several times."""
        self._times = 1
        self._here: tuple[str, ...] = ()
        """References being written at this place of the text: meeting one again would be a loop."""

    def document(self, schema: Schema, path: str) -> str:
        """Write a schema with its own references; gives the expression."""
        self._schemas = Schemas(schema)
        self._named.clear()
        self._here = ()
        return self._node(schema, path)

    def add(self, name: str, expression: str) -> str:
        """Keep a rule and give its name.

        Raises:
            UnsupportedSchema: The grammar grows too large.
        """
        self._size += len(expression)
        if self._size > _SIZE:
            raise UnsupportedSchema("The schema is too large to be enforced.")
        self._rules[name] = expression
        return name

    def text(self) -> str:
        """The whole grammar.

        Raises:
            UnsupportedSchema: A schema demands itself below itself, so that no value ever ends.
        """
        text = "\n".join(f"{name} ::= {expression}" for name, expression in self._rules.items())
        if self._recursive and not lint.ends(parse(text)):
            raise UnsupportedSchema("The schema demands itself within itself without end.")
        return text

    def new(self, expression: str) -> str:
        """Keep an expression as a rule of its own and give its name."""
        return self.add(f"r{len(self._rules)}", expression)

    def _node(self, schema: Any, path: str) -> str:
        reference = only_reference(schema)
        if reference is not None:
            return self._reference(reference, path)
        return self._flat(self._document().flat(schema, path), path)

    def _document(self) -> Schemas:
        if self._schemas is None:
            raise UnsupportedSchema("There is no schema.")
        return self._schemas

    def _reference(self, reference: str, path: str) -> str:
        """A reference becomes a rule of its own, so that schemas may refer to themselves below."""
        self._recursive = self._recursive or self._rules.get(self._named.get(reference, "")) == ""
        if reference in self._here:
            raise UnsupportedSchema(f"{path}.$ref: {reference!r} refers to itself without end.", param=path)
        if reference not in self._named:
            name = self._named[reference] = self.add(f"r{len(self._rules)}", "")
            outer, self._here = self._here, (*self._here, reference)
            self.add(name, self._node(self._document().target(reference, path), reference))
            self._here = outer
        return self._named[reference]

    def _below(self, schema: Any, path: str) -> str:
        """A node inside an object or array: text stands before it, so references may come again."""
        outer, self._here = self._here, ()
        expression = self._node(schema, path)
        self._here = outer
        return expression

    def _flat(self, flat: Schema, path: str) -> str:
        if self._depth >= 2 * DEPTH:
            raise UnsupportedSchema(f"{path[:100]}: deeper than {2 * DEPTH} when followed.", param=path[:100])
        self._depth += 1
        expression = self._choose(flat, path)
        self._depth -= 1
        return expression

    def _choose(self, flat: Schema, path: str) -> str:
        for key in ("anyOf", "oneOf"):
            if key in flat:
                return self._union(flat, key, path)
        if "enum" in flat:
            return self._literals(flat, path)
        kinds = flat.get("type") or infer(flat)
        if kinds is None:
            return self._anything(_NESTING)
        if "number" in kinds:
            kinds = [kind for kind in kinds if kind != "integer"]
        written = [self._kind(kind, flat, path) for kind in kinds]
        return written[0] if len(written) == 1 else f"({' | '.join(written)})"

    def _union(self, flat: Schema, key: str, path: str) -> str:
        base = dict(flat)
        choices: list[Any] = base.pop(key)
        if key == "oneOf":
            flats = [self._document().flat(choice, f"{path}.oneOf.{index}") for index, choice in enumerate(choices)]
            if not disjoint(flats, self._document()):
                raise UnsupportedSchema(
                    f"{path}.oneOf: its choices overlap, so that exactly one cannot be enforced; use anyOf.", param=path
                )
        written: list[str] = []
        for index, choice in enumerate(choices):
            place = f"{path}.{key}.{index}"
            if base:
                written.append(self._flat(merged(base, self._document().flat(choice, place), place), place))
            else:
                written.append(self._node(choice, place))
        return written[0] if len(written) == 1 else self.new(" | ".join(written))

    def _literals(self, flat: Schema, path: str) -> str:
        beside = set(flat) - {"enum", "type"}
        if beside:
            raise UnsupportedSchema(f"{path}.{min(beside)}: cannot be enforced beside enum or const.", param=path)
        kinds = flat.get("type")
        values = [value for value in flat["enum"] if kinds is None or any(is_of(value, kind) for kind in kinds)]
        if not values or len(values) > _VALUES:
            raise UnsupportedSchema(f"{path}.enum: has no value of the type, or more than {_VALUES}.", param=path)
        written = [literal(json.dumps(value, ensure_ascii=False)) for value in values]
        return written[0] if len(written) == 1 else self.new(" | ".join(written))

    def _kind(self, kind: str, flat: Schema, path: str) -> str:
        match kind:
            case "null":
                return '"null"'
            case "boolean":
                return '("true" | "false")'
            case "integer":
                return numbers.integer(flat, path)
            case "number":
                return numbers.number(flat, path)
            case "string":
                return self._string(flat, path)
            case "array":
                return self._array(flat, path)
            case _:
                return self._object(flat, path)

    def _string(self, flat: Schema, path: str) -> str:
        limited = strings.string(flat, path, self._bounds.characters, self.new)
        if "char" not in self._rules:
            self.add("char", strings.CHARACTER)
            self.add("string", strings.quoted(0, self._bounds.characters, self.new))
        self.strings += 0 if limited else self._times
        return limited or "string"

    def _array(self, flat: Schema, path: str) -> str:
        first = [self._below(part, f"{path}.prefixItems.{n}") for n, part in enumerate(flat.get("prefixItems", ()))]
        least = flat.get("minItems", 0)
        most = flat.get("maxItems", max(self._bounds.items, least))
        if least > _ITEMS or most < least:
            raise UnsupportedSchema(f"{path}: minItems and maxItems leave no number up to {_ITEMS}.", param=path)
        most = min(most, _ITEMS)
        if first:
            return self._tuple(flat, first, least, most, path)
        items = flat.get("items", True)
        if most == 0 or items is False:
            return '"[]"'
        outer, self._times = self._times, self._times * min(most, 8)
        item = self._below(items, f"{path}.items")
        self._times = outer
        item = item if item in self._rules else self.new(item)
        following = self.new(f'", " {item}')
        more = f"{following}{{{max(least - 1, 0)},{most - 1}}}" if most > 1 else ""
        body = f"{item} {more}".rstrip()
        return self.new(f'"[" {body} "]"' if least else f'"[" ({body})? "]"')

    def _tuple(self, flat: Schema, first: list[str], least: int, most: int, path: str) -> str:
        """Exactly the prefix items; further ones only as far as minItems demands them."""
        if most < len(first):
            first = first[:most]
        parts = list(first)
        if least > len(first):
            if flat.get("items", True) is False:
                raise UnsupportedSchema(f"{path}.minItems: more than the prefix items that are allowed.", param=path)
            parts += [self._below(flat.get("items", True), f"{path}.items")] * (least - len(first))
        return self.new('"[" ' + ' ", " '.join(parts) + ' "]"')

    def _object(self, flat: Schema, path: str) -> str:
        required = set(flat.get("required", ()))
        given: dict[str, Any] = flat.get("properties", {})
        properties = {name: part for name, part in given.items() if part is not False or name in required}
        others = flat.get("additionalProperties", True)
        for name in sorted(required - set(properties)):
            if others is False:
                raise UnsupportedSchema(f"{path}.required: {name!r} is not among the properties.", param=path)
            properties[name] = others
        if not properties and ("properties" in flat or others is False):
            self._count(flat, 0, 0, path)
            return '"{}"'
        if not properties:
            return self._map(flat, others, path)
        if "propertyNames" in flat:
            raise UnsupportedSchema(f"{path}.propertyNames: cannot be enforced beside properties.", param=path)
        self._count(flat, len(required), len(properties), path)
        pairs: list[tuple[str, bool]] = []
        for name, part in properties.items():
            key = literal(json.dumps(name, ensure_ascii=False) + ": ")
            pairs.append((self.new(f"{key} {self._below(part, f'{path}.{name}')}"), name in required))
        return self.new(f'"{{" {self._pairs(pairs)} "}}"')

    def _pairs(self, pairs: list[tuple[str, bool]]) -> str:
        """The pairs in order, each optional one there or not, with commas between those that are there.

        Built from the end: `after` continues behind a pair, `start` begins without one.
        """
        after, start = "", ""
        for pair, needed in reversed(pairs):
            begun = f"{pair} {after}".rstrip()
            start = begun if needed else f"{begun} | {start}" if start else f"({begun})?"
            start = self.new(start)
            follow = f'", " {pair}' if needed else f'(", " {pair})?'
            after = self.new(f"{follow} {after}".rstrip())
        return start

    def _map(self, flat: Schema, others: Any, path: str) -> str:
        """An object with free names: any number of pairs. Twice the same name counts once, hence the limits."""
        least, most = flat.get("minProperties", 0), flat.get("maxProperties", self._bounds.items)
        if least > 1 or most < least:
            raise UnsupportedSchema(f"{path}.minProperties: cannot be enforced for free names.", param=path)
        names = {**self._document().flat(flat.get("propertyNames", True), f"{path}.propertyNames"), "type": ["string"]}
        if most == 0:
            return '"{}"'
        value = self._below(others, f"{path}.additionalProperties")
        pair = self.new(f'{self._flat(names, f"{path}.propertyNames")} ": " {value}')
        following = self.new(f'", " {pair}')
        more = f" {following}{{0,{min(most, _ITEMS) - 1}}}" if most > 1 else ""
        return self.new(f'"{{" {pair}{more} "}}"' if least else f'"{{" ({pair}{more})? "}}"')

    def _count(self, flat: Schema, fewest: int, all_of_them: int, path: str) -> None:
        if flat.get("minProperties", 0) > fewest or flat.get("maxProperties", all_of_them) < all_of_them:
            raise UnsupportedSchema(f"{path}: minProperties and maxProperties cannot be enforced here.", param=path)

    def _anything(self, depth: int) -> str:
        """Any JSON value, nested at most `depth` times."""
        name = f"any{depth}"
        if name not in self._rules:
            simple = f'{self._string({}, "")} | {numbers.number({}, "")} | "true" | "false" | "null"'
            if depth == 0:
                return self.add(name, simple)
            inner = self._anything(depth - 1)
            repeat = f"{{0,{self._bounds.items - 1}}}"
            item, pair = self.new(f'", " {inner}'), self.new(f'string ": " {inner}')
            pairs = self.new(f'", " {pair}')
            array = f'"[" ({inner} {item}{repeat})? "]"'
            mapping = f'"{{" ({pair} {pairs}{repeat})? "}}"'
            self.add(name, f"{mapping} | {array} | {simple}")
        return name
