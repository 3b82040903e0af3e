"""The seam between a worker and what runs a model: all an engine has to be.

Beside `NAME.py` lies `NAME.toml`, its manifest: formats, tasks, options and the extra that installs it, readable
without importing the engine. Packages outside this one add engines through the entry-point group
`localai.engines.v1`, with the manifest beside their module.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from localai.core.event import Event
from localai.core.model import Loaded, Model, Sizing
from localai.core.task import Task

Emit = Callable[[Event], None]
"""Hands one event to the caller's stream; may block while the reader is slow. Never raises."""


class Engine(Protocol):
    """One loaded model. Everything runs in the worker process; `run` is called from many threads at once."""

    def load(self, model: Model, sizing: Sizing, folder: Path) -> Loaded:
        """Load the model; return when it can answer.

        Args:
            model: What to load; its files are readable.
            sizing: Context, slots, threads and batch to use.
            folder: The only folder this process may write to.

        Raises:
            LocalAIError: With a message that the user sees (InvalidModel, NotEnoughMemory, ModelLoadFailed).
        """
        ...

    def run(self, task: Task, emit: Emit, stop: threading.Event) -> None:
        """Answer one task: emit its events, Done last. Return within a prompt batch once `stop` is set.

        Raises:
            LocalAIError: Becomes the stream's Failed event. Anything else becomes `internal_error`.
        """
        ...

    def close(self) -> None:
        """Let go of the model. Called once, after the last `run` returned."""
        ...
