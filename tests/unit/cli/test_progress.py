"""How far a long job is."""

import io
import re
import sys

from localai.cli.progress import progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_off_a_terminal_there_are_few_plain_lines(capsys):
    """A line tells each phase, and one every ten seconds the amount, the speed and the time left."""
    clock = Clock()
    with progress("starter", clock) as update:
        update("resolving", 0, 0)
        update("downloading", 0, 100_000_000)
        for clock.now in range(1, 21):
            update("downloading", int(clock.now) * 1_000_000, 100_000_000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "resolving starter",
        "downloading starter (100 MB)",
        "downloading starter: 10 %, 10.0 MB of 100 MB, 1.0 MB/s, 1 m 30 s left",
        "downloading starter: 20 %, 20.0 MB of 100 MB, 1.0 MB/s, 1 m 20 s left",
    ]


def test_a_resumed_download_has_an_honest_speed(capsys):
    """What was there before the phase began does not count as speed."""
    clock = Clock()
    with progress("x", clock) as update:
        update("downloading", 50_000_000, 100_000_000)
        clock.now = 10
        update("downloading", 60_000_000, 100_000_000)
    assert "1.0 MB/s, 40 s left" in capsys.readouterr().err


def test_an_unknown_length_has_no_percentage(capsys):
    """Without a total the amount and the speed are told, and no time left."""
    clock = Clock()
    with progress("x", clock) as update:
        update("downloading", 0, 0)
        clock.now = 10
        update("downloading", 5_000_000, 0)
    assert capsys.readouterr().err.splitlines()[-1] == "downloading x: 5.0 MB, 500 kB/s"


def test_a_standstill_has_no_time_left(capsys):
    """When nothing moves, no time left is made up."""
    clock = Clock()
    with progress("x", clock) as update:
        update("downloading", 5, 10)
        clock.now = 10
        update("downloading", 5, 10)
    assert capsys.readouterr().err.splitlines()[-1] == "downloading x: 50 %, 5 B of 10 B, 0 B/s"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    """On a terminal a bar shows the phase and the bytes, and markup in a name is only text."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with progress("[red]x") as update:
        update("downloading", 50_000_000, 100_000_000)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "downloading [red]x" in shown
    assert "50.0/100.0 MB" in shown
