"""What may be written to a terminal."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.cli import terminal
from localai.cli.terminal import clean, colours, faint, interactive, note


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb\x08", "a\\x0db\\x08"),
        ("\u202eevil", "\\u202eevil"),
        ("one\n\ttwo", "one\n\ttwo"),
        ("Grüße 🎉 \u200f", "Grüße 🎉 \u200f"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text: str, shown: str):
    """Escape codes, C1 codes and overrides of direction are visible; newline, tab and letters pass."""
    assert clean(text) == shown


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str):
    """Whatever a model writes, no control character but newline and tab is left."""
    assert not [
        letter for letter in clean(text) if letter not in "\n\t" and (letter < " " or "\x7f" <= letter < "\xa0")
    ]


@given(st.text(), st.integers(min_value=0))
def test_pieces_are_cleaned_like_the_whole(text: str, cut: int):
    """A stream cut anywhere is cleaned as the whole text would be."""
    at = cut % (len(text) + 1)
    assert clean(text[:at]) + clean(text[at:]) == clean(text)


def test_notes_go_to_standard_error(capsys):
    """A remark is written to standard error, cleaned."""
    note("bell\x07")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "bell\\x07\n")


def test_no_colours_off_a_terminal(capsys):
    """Where standard error is no terminal, dim text is plain text."""
    assert faint("thought") == "thought"


def test_no_color_is_obeyed(monkeypatch):
    """NO_COLOR turns colours off on a terminal, and so does a dumb one."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colours()
    assert faint("x") == "\x1b[2mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colours()


def test_a_pipe_is_not_a_person(monkeypatch):
    """Questions are asked only where input and remarks are both on a terminal."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert not interactive()


@pytest.mark.parametrize(("typed", "answer"), [(True, True), (False, False)])
def test_a_question_is_asked_cleaned(monkeypatch, typed: bool, answer: bool):
    """A question cannot carry escape codes of a model's name, and its default is no."""
    asked: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(terminal.typer, "confirm", lambda text, **more: (asked.append((text, more)), typed)[1])
    assert terminal.agreed("Remove \x1b?") is answer
    assert asked == [("Remove \\x1b?", {"default": False, "err": True})]
