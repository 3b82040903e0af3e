"""What is known of an installed model: its own facts, those of its file, and whether it runs."""

from localai.core.model import Model
from localai.core.task import Value
from localai.fleet.snapshot import Row, Shown
from localai.loader.header import Header


class About(Value, frozen=True):
    """An installed model with what its file says and what the fleet says."""

    model: Model
    header: Header | None = None
    """None for an engine without a model file, or one that cannot be read."""
    running: Row | None = None
    """None while no process holds it or is wanted for it."""
    default: int = 0
    """Tokens of one request when the model file names no context."""

    @property
    def state(self) -> Shown | None:
        """What it does; None when it is only installed."""
        return None if self.running is None else self.running.state

    @property
    def context(self) -> int:
        """Tokens that a request and its answer have together: what was granted, else what will be; 0: not known."""
        if self.running is not None and self.running.context:
            return self.running.context
        if self.model.context:
            return self.model.context
        trained = 0 if self.header is None else self.header.context
        return min(self.default, trained) if self.default and trained else trained or self.default

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it takes: "text", "image", "audio"."""
        senses = (("vision", "image"), ("hearing", "audio"))
        return ("text", *(kind for task, kind in senses if task in self.model.tasks))

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives: "text", "embeddings", "scores"."""
        gives = (("text", {"chat", "complete", "infill"}), ("embeddings", {"embed"}), ("scores", {"rerank"}))
        return tuple(kind for kind, tasks in gives if tasks & set(self.model.tasks))
