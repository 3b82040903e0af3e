"""How long an answer took and what it used, as Ollama reports it: nanoseconds and tokens."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from localai.core.event import Done, Event, Progress, Timings

_NS = 10**9


class Clock:
    """Times one request from when it came."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin; `clock` gives seconds."""
        self._clock = clock
        self._began = clock()
        self._loading: float | None = None
        self._loaded: float | None = None
        self._first: float | None = None

    def hear(self, batch: Sequence[Event]) -> None:
        """Note when the model was loaded and when the first piece came."""
        if self._first is not None:
            return
        for event in batch:
            if not isinstance(event, Progress):
                self._first = self._clock()
                self._end_load()
                return
            if event.stage == "loading" and self._loading is None:
                self._loading = self._clock()
            elif event.stage == "prefill":
                self._end_load()

    def _end_load(self) -> None:
        if self._loaded is None:
            self._loaded = self._clock()

    def taken(self) -> dict[str, int]:
        """How long it took in all, and how much of that the model took to load."""
        now = self._clock()
        loading = 0.0 if self._loading is None else (self._loaded or now) - self._loading
        return {"total_duration": _whole(now - self._began), "load_duration": _whole(loading)}

    def fields(self, done: Done) -> dict[str, Any]:
        """All figures of an answer. Where the engine measured nothing, our own times stand in."""
        timings = done.timings if done.timings != Timings() else self._own()
        return {
            **self.taken(),
            "prompt_eval_count": done.usage.prompt,
            "prompt_eval_duration": _whole(timings.prompt),
            "eval_count": done.usage.completion,
            "eval_duration": _whole(timings.generate),
        }

    def _own(self) -> Timings:
        now = self._clock()
        first = self._first if self._first is not None else now
        ready = self._loaded if self._loaded is not None else self._began
        return Timings(prompt=max(first - ready, 0), generate=max(now - first, 0))


def _whole(seconds: float) -> int:
    """Nanoseconds, at least one: clients divide by them."""
    return max(round(seconds * _NS), 1)


def now() -> str:
    """The time as ISO 8601 that every version of Python reads too."""
    return datetime.now(UTC).isoformat()


def stamp(seconds: float) -> str:
    """A Unix time as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
