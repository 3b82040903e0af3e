"""Rows of text in columns, and JSON: the two ways data is written to standard output."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from localai.cli.terminal import clean


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Heads and rows as left-aligned columns, two spaces apart, no line ending in blanks."""
    lines = [[clean(cell).replace("\n", " ") for cell in row] for row in (heads, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values, one pair a line, pairs without a value left out."""
    filled = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in filled), default=0)
    return "\n".join(f"{name.ljust(width)}  {clean(value)}" for name, value in filled)


def write_json(value: Any) -> None:
    """Write a value as indented JSON (ASCII only, so that no terminal acts on it)."""
    typer.echo(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))
