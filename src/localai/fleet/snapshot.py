"""What the fleet looks like from outside at one moment."""

from typing import Literal

from localai.core.task import Value

Shown = Literal["waiting", "starting", "ready", "stopping", "resting"]


class MemoryNow(Value, frozen=True):
    """Bytes for models: all there is, what is promised, and what processes really hold."""

    total: int = 0
    reserved: int = 0
    used: int = 0


class Row(Value, frozen=True):
    """One model that is loaded, wanted or in trouble. Times are Unix seconds, memory is bytes."""

    name: str
    state: Shown
    """waiting: for memory or for the back-off after a failed start. resting: kept failing, refused for a while."""
    pid: int | None = None
    memory: int = 0
    """Really taken."""
    estimated: int = 0
    context: int = 0
    slots: int = 0
    threads: int = 0
    busy: int = 0
    queued: int = 0
    loaded_at: float | None = None
    expires_at: float | None = None
    crashes: int = 0
    last_error: str = ""


class Snapshot(Value, frozen=True):
    """The memory and the models."""

    memory: MemoryNow = MemoryNow()
    models: tuple[Row, ...] = ()
