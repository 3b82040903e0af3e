"""A model as the processes know it: what to load, with how much, and what came of it."""

from typing import Any

from localai.core.task import Sampling, Value


class Adapter(Value, frozen=True):
    """A LoRA adapter: its name in requests, its file and its scale."""

    name: str
    path: str
    scale: float = 1.0


class Model(Value, frozen=True):
    """An installed model with its files resolved to absolute paths of the store."""

    name: str
    engine: str
    files: dict[str, str] = {}
    """Role ("model", "mmproj", "draft", "tokenizer", ...) -> absolute path."""
    digests: dict[str, str] = {}
    """Role -> sha256 in hex, where it is known."""
    tasks: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    template: str | None = None
    """A chat template (Jinja) instead of the one in the model file."""
    system: str | None = None
    """A system message put first when the conversation has none."""
    parameters: Sampling = Sampling()
    """Sampling defaults of this model."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    adapters: tuple[Adapter, ...] = ()
    context: int | None = None
    """Wanted context of one request in tokens; None lets the planner choose."""
    slots: int | None = None
    """Wanted number of requests that run at the same time; None lets the planner choose."""
    threads: int | None = None
    keep_alive: float | None = None
    """Seconds to stay loaded when idle; None takes the server's setting, negative means for ever."""
    options: dict[str, Any] = {}
    """Engine options, by the names the engine's manifest lists."""
    size: int = 0
    """Bytes of all files."""
    created: int = 0
    """Unix seconds of installation."""


class Memory(Value, frozen=True):
    """Bytes a loaded model takes, by what for."""

    weights: int = 0
    cache: int = 0
    """Key/value cache for context x slots."""
    compute: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.weights + self.cache + self.compute + self.other


class Sizing(Value, frozen=True):
    """What the planner grants a worker."""

    context: int = 4096
    """Tokens of one request (prompt and answer together)."""
    slots: int = 1
    threads: int = 1
    batch: int = 128
    """Prompt tokens computed in one step: small, so that a long prompt never freezes running streams."""
    memory: Memory = Memory()


class Loaded(Value, frozen=True):
    """What a worker says of its model once it can answer."""

    tasks: tuple[str, ...]
    context: int = 0
    slots: int = 1
    memory: int = 0
    """Bytes the process really took (resident set after loading and warm-up)."""
    vocabulary: int = 0
    tools: bool = False
    """The chat template itself knows tools (otherwise we put them into the prompt)."""
    thinking: bool = False
    dimensions: int = 0
    """Length of an embedding, when the model makes them."""
    description: str = ""
