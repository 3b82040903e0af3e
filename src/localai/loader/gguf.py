"""Reads the front of a GGUF file (versions 2 and 3, little-endian) and trusts no number in it.

Every count, length and offset is checked against a limit and against the file before it is used; nothing is
allocated for an announced amount. Tensor data is never read, long arrays are walked but not kept. The layout is
that of ggml's `docs/gguf.md`, with the stricter rules of its reader (tensors follow each other without gaps).
"""

import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

from localai.core.errors import InvalidModel
from localai.loader.ggml import FORMATS
from localai.loader.window import Window

MAGIC = b"GGUF"
KEYS_LIMIT = 16_384
TENSORS_LIMIT = 65_536
KEY_LIMIT = 1024
NAME_LIMIT = 63
"""Bytes of a tensor name; ggml keeps 64 with the final zero."""
TEXT_LIMIT = 2**20
"""Bytes of one text value, such as a chat template."""
TEXTS_LIMIT = 4 * 2**20
"""Characters of all text values that are kept."""
TOKEN_LIMIT = 64 * 2**10
WORDS_LIMIT = 2_500_000
"""Strings in all arrays of a file; the largest vocabularies have 260,000 tokens and 600,000 merges."""
FRONT_LIMIT = 64 * 2**20
"""Bytes before the tensor data."""
KEEP = 1024
"""Longest array of numbers that is kept; one number a block is all that matters."""
NUMBERS_LIMIT = 2**16
"""Numbers of all arrays that are kept."""
DIMENSIONS_LIMIT = 4
WEIGHTS_LIMIT = 2**50
ALIGNMENT_LIMIT = 2**16

_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}

FILL_MARKS = (
    (
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<\uff5cfim\u2581begin\uff5c>",
        "<PRE>",
        "\u2581<PRE>",
        "<|code_prefix|>",
    ),
    (
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<\uff5cfim\u2581hole\uff5c>",
        "<SUF>",
        "\u2581<SUF>",
        "<|code_suffix|>",
    ),
    (
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<\uff5cfim\u2581end\uff5c>",
        "<MID>",
        "\u2581<MID>",
        "<|code_middle|>",
    ),
)
"""Tokens by which llama.cpp knows a fill-in-the-middle model: one of each row must be in the vocabulary."""
_NEEDLES = tuple(tuple(struct.pack("<Q", len(mark.encode())) + mark.encode() for mark in marks) for marks in FILL_MARKS)


class Skipped(NamedTuple):
    """An array that was walked and not kept."""

    length: int
    fills: frozenset[int] = frozenset()
    """Rows of FILL_MARKS of which a token was seen."""


class Tensor(NamedTuple):
    """One entry of the tensor list: its shape (fastest dimension first), ggml type and bytes."""

    name: str
    shape: tuple[int, ...]
    kind: int
    weights: int
    size: int


class Contents(NamedTuple):
    """What the front of one GGUF file says. Values are bool, int, float, str, a list of those, or Skipped."""

    version: int
    values: dict[str, Any]
    tensors: tuple[Tensor, ...]
    size: int
    """Bytes of the file."""


def read(path: Path) -> Contents:
    """Read and check the front of a GGUF file.

    Raises:
        InvalidModel: It is not GGUF, or damaged, or announces what cannot be; the message says what.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise InvalidModel(f"The model file {path.name} cannot be opened.") from error
    try:
        size = os.fstat(descriptor).st_size
        return _Parser(Window(descriptor, size, FRONT_LIMIT)).contents()
    except OSError as error:
        raise InvalidModel(f"The model file {path.name} cannot be read.") from error
    finally:
        os.close(descriptor)


class _Parser:
    """Walks one file from its magic to the end of the tensor list."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._text = 0
        self._words = 0
        self._numbers = 0
        self._alignment = 32

    def contents(self) -> Contents:
        window = self._window
        if window.take(4) != MAGIC:
            raise InvalidModel("The file is not GGUF.")
        version = window.u32()
        if version not in {2, 3}:
            raise InvalidModel(_wrong_version(version))
        tensors, keys = window.u64(), window.u64()
        if keys > KEYS_LIMIT or tensors > TENSORS_LIMIT:
            raise InvalidModel(f"The GGUF header announces {keys} keys and {tensors} tensors; that cannot be.")
        values = self._values(keys)
        listed = self._tensors(tensors)
        return Contents(version=version, values=values, tensors=listed, size=window.size)

    def _values(self, count: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for _ in range(count):
            key = self._string(KEY_LIMIT, "a key")
            if key in values:
                raise InvalidModel(f"The GGUF key {_shown(key)} appears twice.")
            kind = self._window.u32()
            values[key] = self._array(key) if kind == _ARRAY else self._scalar(kind, key)
        alignment = values.get("general.alignment", 32)
        right = type(alignment) is int and 0 < alignment <= ALIGNMENT_LIMIT and not alignment & (alignment - 1)
        if not right:
            raise InvalidModel("The GGUF key general.alignment is not a small power of two.")
        self._alignment = alignment
        return values

    def _scalar(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            text = self._string(TEXT_LIMIT, _shown(key))
            self._text += len(text)
            if self._text > TEXTS_LIMIT:
                raise InvalidModel("The GGUF header holds too much text.")
            return text
        form = _SCALARS.get(kind)
        if form is None:
            raise InvalidModel(f"The GGUF key {_shown(key)} has the unknown type {kind}.")
        return form.unpack(self._window.take(form.size))[0]

    def _array(self, key: str) -> Any:
        kind, count = self._window.u32(), self._window.u64()
        if kind == _STRING:
            return self._strings(key, count)
        form = _SCALARS.get(kind)
        if form is None:
            raise InvalidModel(f"The GGUF key {_shown(key)} is an array of the unknown or nested type {kind}.")
        self._numbers += min(count, KEEP)
        if count > KEEP or self._numbers > NUMBERS_LIMIT:
            self._window.skip(count * form.size)
            return Skipped(count)
        return [entry[0] for entry in form.iter_unpack(self._window.take(count * form.size))]

    def _strings(self, key: str, count: int) -> Skipped:
        self._words += count
        if self._words > WORDS_LIMIT:
            raise InvalidModel(f"The GGUF key {_shown(key)} announces {count} strings; that is too many.")
        needles = _NEEDLES if key == "tokenizer.ggml.tokens" else ()
        return Skipped(count, self._window.skip_strings(count, TOKEN_LIMIT, needles))

    def _tensors(self, count: int) -> tuple[Tensor, ...]:
        tensors: list[Tensor] = []
        names: set[str] = set()
        end = 0
        for _ in range(count):
            tensor, offset = self._tensor()
            if tensor.name in names:
                raise InvalidModel(f"The GGUF tensor {_shown(tensor.name)} appears twice.")
            if offset != end:
                raise InvalidModel(f"The GGUF tensor {_shown(tensor.name)} is not where it has to be.")
            names.add(tensor.name)
            tensors.append(tensor)
            end = offset + self._padded(tensor.size)
        last = end - self._padded(tensors[-1].size) + tensors[-1].size if tensors else 0
        if self._padded(self._window.position) + last > self._window.size:
            raise InvalidModel("The GGUF file ends before its tensors do; it is incomplete.")
        return tuple(tensors)

    def _tensor(self) -> tuple[Tensor, int]:
        name = self._string(NAME_LIMIT, "a tensor name")
        rank = self._window.u32()
        if not 1 <= rank <= DIMENSIONS_LIMIT:
            raise InvalidModel(f"The GGUF tensor {_shown(name)} has {rank} dimensions.")
        shape = struct.unpack(f"<{rank}Q", self._window.take(8 * rank))
        kind, offset = self._window.u32(), self._window.u64()
        form = FORMATS.get(kind)
        if form is None:
            raise InvalidModel(f"The GGUF tensor {_shown(name)} has the unknown type {kind}.")
        weights = 1
        for length in shape:
            weights *= length
            if not 0 < weights <= WEIGHTS_LIMIT:
                raise InvalidModel(f"The GGUF tensor {_shown(name)} has an impossible shape.")
        if shape[0] % form.block:
            raise InvalidModel(f"The rows of the GGUF tensor {_shown(name)} are not whole blocks of {form.name}.")
        return Tensor(name, shape, kind, weights, weights // form.block * form.size), offset

    def _padded(self, size: int) -> int:
        return -(-size // self._alignment) * self._alignment

    def _string(self, limit: int, what: str) -> str:
        length = self._window.u64()
        if length > limit:
            raise InvalidModel(f"The GGUF header has {what} of {length} bytes; {limit} are allowed.")
        return self._window.take(length).decode("utf-8", "replace")


def _wrong_version(version: int) -> str:
    if version == 1:
        return "The file is GGUF version 1, which is no longer supported; get a newer conversion of the model."
    if int.from_bytes(version.to_bytes(4, "little"), "big") in {2, 3}:
        return "The file is big-endian GGUF; this machine needs the little-endian one."
    return f"The file is GGUF version {version}; versions 2 and 3 are supported."


def _shown(text: str) -> str:
    """A name from the file, cut and without control characters, for a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:64])
