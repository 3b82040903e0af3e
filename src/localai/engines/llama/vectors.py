"""Embeddings and relevance scores."""

import binascii
import math
import struct
import threading
from typing import Any

import msgspec

from localai.core.errors import ContextLengthExceeded, InvalidRequest
from localai.core.event import Done, Score, Usage, Vector
from localai.core.task import Embed, Rerank
from localai.engines.base import Emit
from localai.engines.llama.problems import TooLong, problem
from localai.engines.llama.side import Side

_AT_ONCE = 8
"""Inputs handed over together: the engine fills its batches, and a cancelled request ends soon."""


class _Row(msgspec.Struct):
    embedding: str
    index: int


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0


class _Vectors(msgspec.Struct):
    data: list[_Row] = []
    usage: _Usage = msgspec.field(default_factory=_Usage)
    error: dict[str, Any] | None = None


class _Scored(msgspec.Struct):
    index: int
    relevance_score: float


class _Scores(msgspec.Struct):
    results: list[_Scored] = []
    usage: _Usage = msgspec.field(default_factory=_Usage)
    error: dict[str, Any] | None = None


_decode_vectors = msgspec.json.Decoder(_Vectors).decode
_decode_scores = msgspec.json.Decoder(_Scores).decode


def embed(server: Any, side: Side, task: Embed, emit: Emit, stop: threading.Event, context: int) -> None:
    """Emit one Vector for each input, in order.

    Raises:
        ContextLengthExceeded: An input is longer than the model takes; names which.
        InvalidRequest: There is no input, or more dimensions are asked for than there are.
    """
    used = 0
    for start in range(0, len(task.inputs), _AT_ONCE):
        if stop.is_set():
            break
        part = [given if isinstance(given, str) else list(given) for given in task.inputs[start : start + _AT_ONCE]]
        if any(given == [] for given in part):
            raise InvalidRequest("An input is empty.", param=f"input.{start + part.index([])}")
        body: dict[str, Any] = {"input": part, "encoding_format": "base64"}
        if not task.normalize and task.dimensions is None:
            body["embd_normalize"] = -1
        answer = _decode_vectors(server.handle_embeddings(msgspec.json.encode(body)))
        if answer.error is not None:
            raise _named(answer.error, side, part, start, context)
        used += answer.usage.prompt_tokens
        for row in answer.data:
            emit(Vector(index=start + row.index, data=_cut(row.embedding, task)))
    if not task.inputs:
        raise InvalidRequest("There is no input.", param="input")
    emit(Done(usage=Usage(prompt=used)))


def rerank(server: Any, task: Rerank, emit: Emit, stop: threading.Event) -> None:
    """Emit one Score for each document.

    Raises:
        ContextLengthExceeded: The query and a document together are longer than the model takes.
        InvalidRequest: There is no document.
    """
    if not task.documents:
        raise InvalidRequest("There is no document.", param="documents")
    used = 0
    for start in range(0, len(task.documents), _AT_ONCE):
        if stop.is_set():
            break
        body = {"query": task.query, "documents": list(task.documents[start : start + _AT_ONCE])}
        answer = _decode_scores(server.handle_rerank(msgspec.json.encode(body)))
        if answer.error is not None:
            raise problem({"error": answer.error})
        used += answer.usage.prompt_tokens
        for row in sorted(answer.results, key=lambda row: row.index):
            emit(Score(index=start + row.index, score=row.relevance_score))
    emit(Done(usage=Usage(prompt=used)))


def dimensions(server: Any) -> int:
    """Length of the vectors this server makes."""
    answer = _decode_vectors(server.handle_embeddings(b'{"input": ["a"], "encoding_format": "base64"}'))
    return len(_raw(answer.data[0].embedding)) // 4 if answer.data else 0


def _named(error: dict[str, Any], side: Side, part: list[Any], start: int, context: int) -> Exception:
    """Find out which input was too long."""
    found = problem({"error": error})
    if not isinstance(found, TooLong):
        return found
    for place, given in enumerate(part):
        ids = (
            side.post("/tokenize", {"content": given, "add_special": True})["tokens"]
            if isinstance(given, str)
            else given
        )
        if len(ids) == found.tokens or len(ids) > context:
            return ContextLengthExceeded(
                f"Input {start + place} has {len(ids)} tokens; this model takes {context}. Split it.",
                param=f"input.{start + place}",
            )
    return found


def _cut(encoded: str, task: Embed) -> bytes:
    raw = _raw(encoded)
    if task.dimensions is None:
        return raw
    if not 1 <= task.dimensions <= len(raw) // 4:
        raise InvalidRequest(f"dimensions has to be 1 to {len(raw) // 4} for this model.", param="dimensions")
    values = struct.unpack(f"<{task.dimensions}f", raw[: task.dimensions * 4])
    if not task.normalize:
        return raw[: task.dimensions * 4]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return struct.pack(f"<{task.dimensions}f", *(value / length for value in values))


def _raw(encoded: str) -> bytes:
    return binascii.a2b_base64(encoded)
