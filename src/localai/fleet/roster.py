"""What the fleet remembers of models besides the plan: their definitions, their processes, and what went wrong."""

import time
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from localai.core.model import Model, Sizing
from localai.fleet import state
from localai.fleet.snapshot import MemoryNow, Row, Shown, Snapshot
from localai.fleet.state import Key
from localai.fleet.worker import Worker

_ENTRIES = 512
"""Models remembered although nothing is known of them but their past."""


@dataclass
class Entry:
    """One version of a model. Its past (crashes, last error) is kept while its name is known."""

    model: Model
    sizing: Sizing
    worker: Worker | None = None
    loaded_at: float | None = None
    crashes: int = 0
    last_error: str = ""

    def ready(self) -> None:
        """Its process has loaded it just now."""
        self.loaded_at = time.time()


@dataclass
class Roster:
    """All entries by key, and the keys of models by name."""

    entries: dict[Key, Entry] = field(default_factory=dict[Key, Entry])
    _keys: dict[str, tuple[Model, Key]] = field(default_factory=dict[str, tuple[Model, Key]])

    def key(self, model: Model) -> Key:
        """The key of this version of a model: the same for the same definition, whatever its aliases."""
        known = self._keys.get(model.name)
        if known is not None and (known[0] is model or known[0] == model):
            return known[1]
        told = msgspec.msgpack.encode(state.change(model, aliases=()), order="deterministic")
        key = Key(f"{model.name}@{sha256(told).hexdigest()[:12]}")
        if len(self._keys) >= _ENTRIES:
            self._keys.clear()
        self._keys[model.name] = (model, key)
        return key

    def note(self, key: Key, model: Model, sizing: Sizing) -> None:
        """Remember what the next process of a model is to get."""
        entry = self.entries.get(key)
        if entry is not None:
            entry.model, entry.sizing = model, sizing
            return
        self.entries[key] = Entry(model=model, sizing=sizing)

    def forget(self, kept: dict[Key, state.Seat]) -> None:
        """Drop the oldest entries that no seat needs, when there are too many."""
        for key in list(self.entries)[: max(len(self.entries) - _ENTRIES, 0)]:
            if key not in kept:
                del self.entries[key]

    def workers(self) -> list[Worker]:
        """All processes there are."""
        return [entry.worker for entry in self.entries.values() if entry.worker is not None]

    def pids(self) -> tuple[int, ...]:
        """Their process ids."""
        return tuple(worker.pid for worker in self.workers())

    def snapshot(self, fleet: state.Fleet, now: float) -> Snapshot:
        """The fleet as it looks at the (monotonic) time `now`."""
        rows = [self._row(key, seat, now) for key, seat in fleet.seats.items()]
        memory = MemoryNow(
            total=fleet.budget,
            reserved=sum(state.promised(seat) for seat in fleet.seats.values()),
            used=sum(worker.memory for worker in self.workers()),
        )
        return Snapshot(memory=memory, models=tuple(row for row in rows if row is not None))

    def _row(self, key: Key, seat: state.Seat, now: float) -> Row | None:
        shown = _shown(seat)
        entry = self.entries.get(key)
        if shown is None or entry is None:
            return None
        worker = entry.worker
        loaded = worker.loaded if worker else None
        ready = seat.state if isinstance(seat.state, state.Ready) else None
        end = _expiry(seat, ready)
        return Row(
            name=seat.name,
            state=shown,
            pid=worker.pid if worker else None,
            memory=worker.memory if worker else 0,
            estimated=seat.estimate,
            context=(loaded.context if loaded else 0) or entry.sizing.context,
            slots=ready.slots if ready else entry.sizing.slots,
            threads=entry.sizing.threads,
            busy=len(ready.running) + len(ready.light) if ready else 0,
            queued=len(seat.waiting),
            loaded_at=entry.loaded_at if ready else None,
            expires_at=None if end is None else time.time() + end - now,
            crashes=entry.crashes,
            last_error=entry.last_error,
        )


def _shown(seat: state.Seat) -> Shown | None:
    match seat.state:
        case state.Starting():
            return "starting"
        case state.Ready():
            return "ready"
        case state.Stopping() | state.Dying():
            return "stopping"
        case state.Resting():
            return "resting"
        case state.Cold():
            return "waiting" if seat.waiting else None


def _expiry(seat: state.Seat, ready: state.Ready | None) -> float | None:
    if ready is None or ready.busy or seat.keep_alive < 0:
        return None
    return ready.idle_since + seat.keep_alive
