"""llama.cpp in this process: one loaded GGUF, answering every task it can."""

import os
import threading
from pathlib import Path
from typing import Any, assert_never

from localai.core.errors import InvalidModel, LocalAIError, ModelLoadFailed, TaskNotSupported
from localai.core.event import Done, Text, Tokens, Usage
from localai.core.model import Loaded, Model, Sizing
from localai.core.task import Detokenize, Embed, Generate, Render, Rerank, Task, Tokenize
from localai.engines.base import Emit
from localai.engines.llama import params, parts, vectors
from localai.engines.llama.generate import Generator
from localai.engines.llama.messages import Template
from localai.engines.llama.side import Side

_SOCKET = "llama.sock"
_PATH = 100
"""Characters of the longest path of a Unix socket that every system takes."""


class LlamaEngine:
    """One GGUF model."""

    def __init__(self) -> None:
        self._server: Any = None
        self._side: Side | None = None
        self._generator: Generator | None = None
        self._context = 0
        self._mode: params.Mode = "generate"
        self._slots = threading.BoundedSemaphore(1)

    def load(self, model: Model, sizing: Sizing, folder: Path) -> Loaded:
        """Load the weights, warm up, and find out what the model can do."""
        if "model" not in model.files:
            raise ModelLoadFailed("The model file names no file with the role `model`.")
        model = parts.joined(model, folder)
        path = model.files["model"]
        self._mode = params.mode(model, path)
        trained = params.header_number(path, "context_length")
        self._context = sizing.context
        if self._mode != "generate" and trained:
            self._context = min(sizing.context, trained)
        socket = _socket(folder)
        granted = Sizing(
            context=self._context, slots=sizing.slots, threads=sizing.threads, batch=sizing.batch, memory=sizing.memory
        )
        built = params.build(model, granted, self._mode, socket)
        try:
            self._server = params.xllamacpp.Server(built)
        except RuntimeError:
            raise InvalidModel(
                "llama.cpp cannot load this model: the file is damaged, of a kind it does not know, does not fit its"
                " adapters or options, or its chat template has an error. The worker's log says which."
            ) from None
        self._side = Side(socket)
        self._slots = threading.BoundedSemaphore(sizing.slots)
        return self._describe(model, granted)

    def run(self, task: Task, emit: Emit, stop: threading.Event) -> None:
        """Answer one task."""
        match task:
            case Generate():
                self._generate(task, emit, stop)
            case Embed():
                self._needs("embed", "make embeddings")
                vectors.embed(self._server, self._door(), task, emit, stop, self._context)
            case Rerank():
                self._needs("rerank", "rank documents")
                vectors.rerank(self._server, task, emit, stop)
            case Tokenize():
                self._tokenize(task, emit)
            case Detokenize():
                text = self._door().post("/detokenize", {"tokens": list(task.ids)})["content"]
                emit(Text(text=text))
                emit(Done())
            case Render():
                emit(Text(text=self._generating().render(task.chat)))
                emit(Done())
            case _:
                assert_never(task)

    def close(self) -> None:
        """Free the model."""
        self._generator = None
        self._server = None

    def _tokenize(self, task: Tokenize, emit: Emit) -> None:
        asked = {
            "content": task.text,
            "with_pieces": True,
            "add_special": task.special,
            "parse_special": task.special,
        }
        found = self._door().post("/tokenize", asked)["tokens"]
        pieces = tuple(_piece(token["piece"]) for token in found)
        emit(Tokens(ids=tuple(token["id"] for token in found), pieces=pieces))
        emit(Done(usage=Usage(prompt=len(found))))

    def _generate(self, task: Generate, emit: Emit, stop: threading.Event) -> None:
        """Wait for a free slot here, where a request can still be cancelled, and not inside llama.cpp."""
        generator = self._generating()
        while not self._slots.acquire(timeout=0.1):
            if stop.is_set():
                emit(Done())
                return
        try:
            generator.run(task, emit, stop)
        finally:
            self._slots.release()

    def _describe(self, model: Model, sizing: Sizing) -> Loaded:
        side = self._door()
        properties = side.get("/props")
        facts = side.get("/v1/models")["data"][0]["meta"]
        vocabulary = int(facts["n_vocab"])
        if self._mode != "generate":
            return Loaded(
                tasks=(self._mode, "tokenize"),
                context=self._context,
                slots=sizing.slots,
                vocabulary=vocabulary,
                dimensions=vectors.dimensions(self._server) if self._mode == "embed" else 0,
                description=_description(facts),
            )
        template = _template(properties, side)
        self._generator = Generator(self._server, side, model, sizing, template, vocabulary)
        senses = properties.get("modalities", {})
        tasks = ["chat", "complete", "tokenize"]
        tasks += ["infill"] if self._generator.can_infill() else []
        tasks += ["vision"] if senses.get("vision") else []
        tasks += ["hearing"] if senses.get("audio") else []
        return Loaded(
            tasks=tuple(tasks),
            context=self._context,
            slots=sizing.slots,
            vocabulary=vocabulary,
            tools=template.tools,
            thinking=template.thinking,
            description=_description(facts),
        )

    def _generating(self) -> Generator:
        if self._generator is None:
            raise TaskNotSupported("This model cannot generate text.")
        return self._generator

    def _needs(self, mode: params.Mode, what: str) -> None:
        if self._mode != mode:
            raise TaskNotSupported(f"This model cannot {what}.")

    def _door(self) -> Side:
        if self._side is None:
            raise ModelLoadFailed
        return self._side


def _socket(folder: Path) -> Path:
    """Where the server's HTTP face listens; relative where the full path is too long for a socket."""
    path = folder / _SOCKET
    path.unlink(missing_ok=True)
    return path if len(os.fsencode(path)) <= _PATH else Path(os.path.relpath(path))


def _template(properties: dict[str, Any], side: Side) -> Template:
    text = str(properties.get("chat_template", ""))
    able = properties.get("chat_template_caps", {})
    return Template(
        tools=bool(able.get("supports_tools")) and bool(able.get("supports_tool_calls")),
        system=bool(able.get("supports_system_role", True)),
        midway=_takes(side, "user", "system"),
        alternating="raise_exception" in text and "alternate" in text,
        thinking="enable_thinking" in text or "<think>" in text or "reasoning_content" in text,
    )


def _takes(side: Side, *roles: str) -> bool:
    """Whether the model's template takes these turns in a row."""
    try:
        side.post("/apply-template", {"messages": [{"role": role, "content": "Hello."} for role in roles]})
    except LocalAIError:
        return False
    return True


def _description(facts: dict[str, Any]) -> str:
    parameters = int(facts.get("n_params", 0))
    size = f"{parameters / 1e9:.1f}B" if parameters >= 10**9 else f"{parameters / 1e6:.0f}M"
    return f"llama.cpp {params.xllamacpp.__version__}, {size} parameters, {facts.get('ftype', '')}".rstrip(", ")


def _piece(piece: str | list[int]) -> bytes:
    """A token's bytes: a list of numbers where they are no whole characters."""
    return piece.encode() if isinstance(piece, str) else bytes(piece)
