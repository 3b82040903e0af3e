"""An engine that needs nothing: it says back what it was asked, word by word.

It is the reference for engine authors and the double for tests. Options (in the model file): `delay`, seconds
between two words; `prefill`, seconds before the first; `load`, seconds to load; `dimensions`, length of a vector.
"""

import hashlib
import json
import re
import struct
import threading
from pathlib import Path

from localai.core.errors import ContextLengthExceeded
from localai.core.event import (
    Chosen,
    Done,
    Logprobs,
    Progress,
    Score,
    Text,
    TokenLogprob,
    Tokens,
    ToolCall,
    Usage,
    Vector,
)
from localai.core.model import Loaded, Model, Sizing
from localai.core.task import (
    Chat,
    Detokenize,
    Embed,
    Generate,
    Ids,
    Infill,
    Message,
    Raw,
    Render,
    Rerank,
    Task,
    TextPart,
    Tokenize,
)
from localai.engines.base import Emit

_WORD = re.compile(r"\s*\S+|\s+")


def words(text: str) -> list[str]:
    """Cut text into pieces whose concatenation is the text; a piece is this engine's token."""
    return _WORD.findall(text)


class EchoEngine:
    """Repeats the last user message (or the raw prompt)."""

    def __init__(self) -> None:
        self._options: dict[str, float] = {}
        self._sizing = Sizing()

    def load(self, model: Model, sizing: Sizing, folder: Path) -> Loaded:
        """Wait `load` seconds and be ready."""
        self._options = {key: float(value) for key, value in model.options.items()}
        self._sizing = sizing
        threading.Event().wait(self._options.get("load", 0))
        return Loaded(
            tasks=("chat", "complete", "embed", "rerank", "tokenize", "infill"),
            context=sizing.context,
            slots=sizing.slots,
            tools=True,
            dimensions=int(self._options.get("dimensions", 8)),
            description="echo",
        )

    def run(self, task: Task, emit: Emit, stop: threading.Event) -> None:
        """Answer any task from the task itself."""
        match task:
            case Generate():
                self._generate(task, emit, stop)
            case Embed():
                self._embed(task, emit)
            case Rerank():
                for index, document in enumerate(task.documents):
                    shared = set(words(task.query.lower())) & set(words(document.lower()))
                    emit(Score(index=index, score=float(len(shared))))
                emit(Done(usage=Usage(prompt=sum(len(words(text)) for text in task.documents))))
            case Tokenize():
                pieces = [piece.encode() for piece in words(task.text)]
                emit(Tokens(ids=tuple(len(piece) for piece in pieces), pieces=tuple(pieces)))
                emit(Done(usage=Usage(prompt=len(pieces))))
            case Detokenize():
                emit(Text(text=" ".join(str(number) for number in task.ids)))
                emit(Done())
            case Render():
                emit(Text(text=_written(task.chat)))
                emit(Done())

    def close(self) -> None:
        """Nothing is held."""

    def _generate(self, task: Generate, emit: Emit, stop: threading.Event) -> None:
        asked = _asked(task)
        prompt = len(words(asked))
        if prompt >= self._sizing.context:
            raise ContextLengthExceeded(
                f"The prompt has {prompt} tokens; this model takes {self._sizing.context} with its answer."
            )
        emit(Progress(stage="prefill", done=prompt, total=prompt))
        stop.wait(self._options.get("prefill", 0))
        forced = _forced(task)
        if forced:
            emit(ToolCall(index=0, id="call_echo", name=forced, arguments="{}"))
            emit(Done(finish="tool_calls", usage=Usage(prompt=prompt, completion=1)))
            return
        said = 0
        limit = task.max_tokens if task.max_tokens is not None else self._sizing.context - prompt
        pieces = words(asked)
        for piece in pieces[:limit]:
            if stop.is_set():
                break
            emit(Text(text=piece))
            if task.logprobs is not None:
                token = TokenLogprob(id=len(piece), token=piece, logprob=0.0, data=piece.encode())
                emit(Logprobs(tokens=(Chosen(token=token, top=(token,) * min(task.logprobs, 1)),)))
            said += 1
            stop.wait(self._options.get("delay", 0))
        finish = "length" if said < len(pieces) else "stop"
        emit(Done(finish=finish, usage=Usage(prompt=prompt, completion=said)))

    def _embed(self, task: Embed, emit: Emit) -> None:
        length = task.dimensions or int(self._options.get("dimensions", 8))
        used = 0
        for index, given in enumerate(task.inputs):
            text = given if isinstance(given, str) else " ".join(str(number) for number in given)
            used += len(words(text)) or 1
            digest = hashlib.shake_256(text.encode()).digest(length)
            raw = [byte / 255 - 0.5 for byte in digest]
            norm = sum(value * value for value in raw) ** 0.5 or 1.0
            emit(Vector(index=index, data=struct.pack(f"<{length}f", *(value / norm for value in raw))))
        emit(Done(usage=Usage(prompt=used)))


def _text(message: Message) -> str:
    return "".join(part.text for part in message.content if isinstance(part, TextPart))


def _asked(task: Generate) -> str:
    match task.prompt:
        case Chat(messages=messages):
            return _text(messages[-1]) if messages else ""
        case Raw(text=text):
            return text
        case Ids(ids=ids):
            return " ".join(str(number) for number in ids)
        case Infill(prefix=prefix, suffix=suffix):
            return prefix + suffix


def _forced(task: Generate) -> str | None:
    chat = task.prompt
    if not isinstance(chat, Chat) or not chat.tools or chat.tool_choice.mode != "required":
        return None
    return chat.tool_choice.name or chat.tools[0].name


def _written(chat: Chat) -> str:
    return "\n".join(json.dumps([message.role, _text(message)]) for message in chat.messages)
