"""Reads the YAML of a model file within bounds, and finds the line of a field for messages."""

import itertools
import re
from collections.abc import Iterator
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

from localai.core.errors import InvalidModel

LENGTH_LIMIT = 2**20 + 2**16
"""Bytes: a long chat template and everything else."""
NODES_LIMIT = 20_000
DEPTH_LIMIT = 24
Path = tuple[str | int, ...]
_SMALL = 2**14
"""Bytes of a file that cannot hold too much for the parser, which is slow."""
_DEEP = re.compile(rb"(?:[\[{]\s*){25}")


def read(data: bytes, name: str) -> list[dict[str, Any]]:
    """Return the models of a YAML file: one mapping, or a list of them.

    Raises:
        InvalidModel: Not YAML of that shape, or too large or deep; the message names the file and, if it can, the line.
    """
    if len(data) > LENGTH_LIMIT:
        raise InvalidModel(f"{name} is larger than a model file may be.")
    if _DEEP.search(data):
        raise InvalidModel(f"{name} is nested too deeply for a model file.")
    try:
        if len(data) > _SMALL and _crowded(data):
            raise InvalidModel(f"{name} holds too much for a model file.")
        loaded = _parser().load(data.decode("utf-8-sig"))
    except MarkedYAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise InvalidModel(f"{name}{line}: this is not valid YAML.") from error
    except (YAMLError, RecursionError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise InvalidModel(f"{name}: this is not valid YAML.") from error
    entries: list[Any] = cast("list[Any]", loaded) if isinstance(loaded, list) else [loaded]
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidModel(f"{name}: a model file is a mapping of fields (or a list of such).")
    _check(entries, name)
    return cast("list[dict[str, Any]]", entries)


def line(data: bytes, path: Path) -> int | None:
    """Return the line (from 1) where the field at `path` begins, or its nearest parent that is written."""
    try:
        node = _parser().compose(data.decode("utf-8-sig"))
    except (YAMLError, RecursionError, ValueError):
        return None
    if node is None:
        return None
    found: int = node.start_mark.line
    for step in path:
        node, begins = _child(node, step)
        if node is None:
            break
        found = begins
    return found + 1


def _crowded(data: bytes) -> bool:
    """Whether the text has more parts than a model file may have; looks no further than that."""
    return next(itertools.islice(_events(data), NODES_LIMIT, None), None) is not None


def _events(data: bytes) -> Iterator[object]:
    """What the parser sees, piece by piece."""
    return _parser().parse(data.decode("utf-8-sig"))


def _parser() -> Any:
    """A parser that makes plain values only; the library's types say too little to be checked."""
    return YAML(typ="safe", pure=True)


def _child(node: Any, step: str | int) -> tuple[Any, int]:
    if isinstance(node, MappingNode):
        for key, value in cast("list[tuple[Any, Any]]", cast("Any", node).value):
            if str(key.value) == str(step):
                return value, key.start_mark.line
    elif isinstance(node, SequenceNode) and isinstance(step, int):
        entries = cast("list[Any]", cast("Any", node).value)
        if step < len(entries):
            return entries[step], entries[step].start_mark.line
    return None, 0


def _check(loaded: Any, name: str) -> None:
    """Refuse what is too much once its repeated parts (YAML aliases) are written out, and keys that are no text."""
    nodes = 0
    waiting: list[tuple[Any, int]] = [(loaded, 0)]
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if nodes > NODES_LIMIT or depth > DEPTH_LIMIT:
            raise InvalidModel(f"{name} holds too much for a model file.")
        if isinstance(value, dict):
            entries = cast("dict[Any, Any]", value)
            waiting.extend((entry, depth + 1) for entry in entries.values())
        elif isinstance(value, list):
            waiting.extend((entry, depth + 1) for entry in cast("list[Any]", value))
