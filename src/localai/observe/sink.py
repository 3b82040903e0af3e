"""Where log records go: a bounded queue and one thread that writes, so that a blocked reader blocks nobody."""

import contextlib
import os
import queue
import threading

QUEUE = 8192
"""Records that may wait for a slow reader; more are dropped and counted."""


class Sink:
    """Writes lines to a file descriptor from a thread of its own; `write` never blocks and never raises."""

    def __init__(self, descriptor: int, size: int = QUEUE) -> None:
        self._descriptor = descriptor
        self._waiting: queue.Queue[bytes | None] = queue.Queue(size)
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def lost(self) -> int:
        """Records dropped so far: the queue was full, or the descriptor closed or broken."""
        return self._lost

    def write(self, line: bytes) -> None:
        """Hand over one line (with its newline)."""
        if self._thread is None:
            self._start()
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def close(self, patience: float = 1.0) -> None:
        """Write what waits, for at most `patience` seconds."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=patience)
        self._thread.join(patience)
        self._thread = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._put(line)
            except OSError:
                self._lost += 1

    def _put(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]
