"""Writes small GGUF files for tests, right or wrong on purpose, byte by byte."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

U32, FLOAT, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10


class Raw(NamedTuple):
    """A value whose type number and bytes are given, whatever they are."""

    kind: int
    data: bytes


class Entry(NamedTuple):
    """A tensor of the list; `offset` None puts it where it belongs."""

    name: str
    shape: Sequence[int]
    kind: int = 0
    offset: int | None = None


LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 0,
    "llama.context_length": 4096,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}
TENSORS = (
    Entry("token_embd.weight", (64, 3)),
    Entry("blk.0.attn_q.weight", (64, 64), 2),
    Entry("output.weight", (64, 3), 8),
)


def text(value: str | bytes) -> bytes:
    """A GGUF string."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def pair(key: str, value: Any) -> bytes:
    """A key with its value, of the type that the value suggests."""
    kind, data = _value(value)
    return text(key) + struct.pack("<I", kind) + data


def _value(value: Any) -> tuple[int, bytes]:
    match value:
        case Raw():
            return value.kind, value.data
        case bool():
            return BOOL, struct.pack("<?", value)
        case int():
            return U32, struct.pack("<I", value)
        case float():
            return FLOAT, struct.pack("<f", value)
        case str() | bytes():
            return STRING, text(value)
        case list():
            kind = _value(value[0])[0] if value else U32
            return ARRAY, struct.pack("<IQ", kind, len(value)) + b"".join(_value(each)[1] for each in value)
    raise TypeError(value)


_SIZES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 12: (256, 144)}


def size(entry: Entry) -> int:
    """Bytes of a tensor (1 a weight for types the helper does not know)."""
    weights = 1
    for length in entry.shape:
        weights *= length
    block, taken = _SIZES.get(entry.kind, (1, 1))
    return weights // block * taken


def build(
    values: Mapping[str, Any] | None = None,
    tensors: Sequence[Entry] = TENSORS,
    *,
    version: int = 3,
    keys: int | None = None,
    count: int | None = None,
    alignment: int = 32,
    data: bool = True,
) -> bytes:
    """Return a whole file; `keys` and `count` announce other numbers than there are."""
    values = LLAMA if values is None else values
    front = b"GGUF" + struct.pack(
        "<IQQ", version, len(tensors) if count is None else count, len(values) if keys is None else keys
    )
    pieces = [front, *(pair(key, value) for key, value in values.items())]
    end = 0
    for entry in tensors:
        offset = end if entry.offset is None else entry.offset
        form = f"<I{len(entry.shape)}QIQ"
        pieces.append(text(entry.name) + struct.pack(form, len(entry.shape), *entry.shape, entry.kind, offset))
        end += -(-size(entry) // alignment) * alignment
    front = b"".join(pieces)
    return front + bytes(-len(front) % alignment) + bytes(end if data else 0)
