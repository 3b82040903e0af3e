"""How far a long job is, on standard error: a bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from localai.cli.terminal import clean, note
from localai.cli.units import size, span

EVERY = 10.0
"""Seconds between two plain lines."""

Update = Callable[[str, int, int], None]
"""Takes a phase, the bytes done and the bytes in all (0 when unknown)."""


@contextmanager
def progress(name: str, clock: Callable[[], float] = time.monotonic) -> Generator[Update]:
    """Show the progress of the named job while the block runs."""
    if not sys.stderr.isatty():
        yield _Lines(name, clock)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    shown = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*shown, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(escape(clean(name)), total=None)

        def update(phase: str, done: int, total: int) -> None:
            bars.update(bar, description=escape(clean(f"{phase} {name}")), completed=done, total=total or None)

        yield update


class _Lines:
    """A line when the phase changes, and one every ten seconds with amount, speed and time left."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._phase = ""
        self._began = self._said = clock()
        self._base = 0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = self._clock()
        if phase != self._phase:
            self._phase, self._began, self._said, self._base = phase, now, now, done
            note(f"{phase} {self._name}" + (f" ({size(total)})" if total else ""))
        elif now - self._said >= EVERY:
            self._said = now
            note(f"{phase} {self._name}: {_amount(done, total, (done - self._base) / (now - self._began))}")


def _amount(done: int, total: int, speed: float) -> str:
    if not total:
        return f"{size(done)}, {size(speed)}/s"
    left = f", {span((total - done) / speed)} left" if speed > 0 else ""
    return f"{100 * done // total} %, {size(done)} of {size(total)}, {size(speed)}/s{left}"
