"""The terminal: what may be written to it, and who sits in front of it."""

import os
import sys

import typer

_CONTROL = (set(range(32)) - {ord("\n"), ord("\t")}) | set(range(127, 160))
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_VISIBLE = {point: f"\\x{point:02x}" for point in _CONTROL} | {point: f"\\u{point:04x}" for point in _BIDI}


def clean(text: str) -> str:
    """The text with control characters other than newline and tab (and overrides of direction) made visible.

    Models, model files and servers write what they like; a terminal would obey it.
    """
    return text.translate(_VISIBLE)


def note(text: str) -> None:
    """Write a line for the person to standard error: progress and remarks never mix with data."""
    typer.echo(clean(text), err=True)


def faint(text: str) -> str:
    """The text in dim letters where standard error is a terminal with colours."""
    return typer.style(clean(text), dim=True) if colours() else clean(text)


def colours() -> bool:
    """Whether standard error takes colours: a terminal, and NO_COLOR is not set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def interactive() -> bool:
    """Whether a person can answer questions here: input and remarks are both on a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Ask yes or no on standard error; only an explicit yes is one."""
    return typer.confirm(clean(question), default=False, err=True)
