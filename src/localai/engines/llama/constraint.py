"""What an answer is held to: the grammar of its format and of the calls it may or must make."""

import json
import threading
from collections import OrderedDict
from typing import Any, assert_never

from localai.core.errors import InvalidRequest, UnsupportedSchema
from localai.core.task import AnyJson, Chat, Format, FreeText, Grammar, Schema, Tool
from localai.engines.llama import lint
from localai.engines.llama.gbnf import literal, parse
from localai.engines.llama.grammar import Bounds, Compiler
from localai.engines.llama.schema import spelled
from localai.engines.llama.strings import MOST

_ENTRIES = 64
_BYTES = 4 * 1024 * 1024
_CALLS = 8
"""Calls in a row that a forced answer may hold."""


def bounds(tokens: int, strings: int = 1) -> Bounds:
    """What a part of a schema without bounds may have, when the answer has this many tokens at most.

    A string may have half of them in characters, shared with the other strings of the schema (but 256 at least), and
    an array a sixty-fourth in items: even a model that cannot stop then comes to the end of its JSON.
    """
    characters = min(max(_floor(tokens // (2 * max(strings, 1))), 256), MOST)
    return Bounds(characters=characters, items=min(max(_floor(tokens // 64), 8), 256))


def _floor(number: int) -> int:
    return 1 << max(number, 1).bit_length() - 1


class Constraints:
    """Writes grammars, and keeps the last ones: the same schema usually comes many times."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many grammars are kept."""
        return len(self._kept)

    def format(self, wanted: Format, tokens: int) -> str | None:
        """The grammar of a format; None for free text.

        Raises:
            UnsupportedSchema: It cannot be enforced.
        """
        match wanted:
            case FreeText():
                return None
            case Grammar(grammar=grammar):
                lint.check(grammar)
                return grammar
            case AnyJson() | Schema():
                return self._written({"format": _schema(wanted)}, tokens)
            case _:
                assert_never(wanted)

    def calls(self, chat: Chat, wanted: Format, tokens: int) -> str:
        """The grammar of an answer that is calls; or, unless they are required, of the format.

        Raises:
            UnsupportedSchema: The format or a tool's parameters cannot be enforced.
            InvalidRequest: The tool that is to be called is not among the tools.
        """
        named = chat.tool_choice.name
        offered = [tool for tool in chat.tools if named is None or tool.name == named]
        if not offered:
            raise InvalidRequest(
                f"The tool {named!r} that tool_choice names is not among the tools.", param="tool_choice"
            )
        asked: dict[str, Any] = {
            "tools": [[tool.name, _parameters(tool, place)] for place, tool in enumerate(offered)],
            "several": chat.parallel_calls and named is None,
        }
        if chat.tool_choice.mode != "required" and isinstance(wanted, AnyJson | Schema):
            asked["format"] = _schema(wanted)
        return self._written(asked, tokens)

    def _written(self, asked: dict[str, Any], tokens: int) -> str:
        for schema in (asked.get("format", {}), *(parameters for _, parameters in asked.get("tools", ()))):
            spelled(schema)
        tokens = _floor(tokens)
        key = f"{tokens} {json.dumps(asked)}"
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        grammar = _write(asked, tokens)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = grammar
                self._bytes += len(key) + len(grammar)
            while len(self._kept) > _ENTRIES or (self._bytes > _BYTES and len(self._kept) > 1):
                old, text = self._kept.popitem(last=False)
                self._bytes -= len(old) + len(text)
        return grammar


def _write(asked: dict[str, Any], tokens: int) -> str:
    """Write the grammar twice when it turns out that many strings have to share the tokens."""
    compiler = Compiler(bounds(tokens))
    _compile(compiler, asked)
    if compiler.strings > 1:
        compiler = Compiler(bounds(tokens, compiler.strings))
        _compile(compiler, asked)
    text = compiler.text()
    if lint.multiplies(parse(text)):
        raise UnsupportedSchema("schema: its alternatives multiply to more than can be followed; nest fewer `anyOf`.")
    return text


def _compile(compiler: Compiler, asked: dict[str, Any]) -> None:
    choices: list[str] = []
    tools: list[Any] = asked.get("tools", [])
    calls: list[str] = []
    for place, (name, parameters) in enumerate(tools):
        arguments = compiler.document(parameters, f"tools.{place}.parameters")
        head = literal(f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": ')
        calls.append(compiler.new(f'{head} {arguments} "}}"'))
    if calls:
        call = compiler.new(" | ".join(calls))
        choices.append(call)
        if asked.get("several"):
            choices.append(f'"[" {call} (", " {call}){{0,{_CALLS - 1}}} "]"')
    if "format" in asked:
        choices.append(compiler.document(asked["format"], "schema"))
    compiler.add("root", " | ".join(choices))


def _schema(wanted: AnyJson | Schema) -> dict[str, Any]:
    return wanted.schema if isinstance(wanted, Schema) else {"type": "object"}


def _parameters(tool: Tool, place: int) -> dict[str, Any]:
    if not tool.parameters:
        return {"type": "object", "properties": {}}
    if tool.parameters.get("type", "object") != "object":
        path = f"tools.{place}.parameters"
        raise UnsupportedSchema(f"{path}.type: the parameters of a tool have to be an object.", param=path)
    return {**tool.parameters, "type": "object"}
