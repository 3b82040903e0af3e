"""Inspects a model file before anything else opens it: a checked `Header`, or InvalidModel."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from localai.core.errors import InvalidModel
from localai.loader.ggml import FILE_TYPES, FORMATS
from localai.loader.gguf import Contents, Skipped, Tensor, read
from localai.loader.header import Header, Kind
from localai.loader.magic import kind, refuse

BLOCKS_LIMIT = 1024
HEADS_LIMIT = 2**16
LENGTH_LIMIT = 2**24
"""Largest embedding, feed-forward or head length."""
PARTS_LIMIT = 1000
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_ENCODERS = frozenset(
    ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "eurobert")
)
_POOLING = ("none", "mean", "cls", "last", "rank")


def inspect(path: Path, parts: Sequence[Path] = ()) -> Header:
    """Read and check the front of a GGUF model.

    Args:
        path: The file; of a split model, its first part.
        parts: The other parts in order, where their names do not tell (`NAME-00001-of-00003.gguf` does).

    Returns:
        The header of the whole model.

    Raises:
        InvalidModel: Damaged, hostile, incomplete or not GGUF; the message says what.
    """
    if kind(path) != "gguf":
        raise refuse(path)
    others = tuple(parts) or siblings(path)[1:]
    if len(others) >= PARTS_LIMIT:
        raise InvalidModel(f"The model is split into {len(others) + 1} files; that is too many.")
    first = read(path)
    contents = [first, *(_part(other) for other in others)]
    _check_parts(contents, path.name)
    return _Facts(first).header(contents)


def siblings(path: Path) -> tuple[Path, ...]:
    """Return all parts of the split model that `path` is the first part of, in order; else only `path`.

    Raises:
        InvalidModel: It is another part than the first, or a part is missing.
    """
    found = _PART.fullmatch(path.name)
    if found is None or int(found["count"]) <= 1:
        return (path,)
    number, count = int(found["number"]), int(found["count"])
    if number != 1:
        raise InvalidModel(f"{path.name} is part {number} of a split model; name its first part.")
    if count > PARTS_LIMIT:
        raise InvalidModel(f"{path.name} says it has {count} parts; that is too many.")
    tail = path.name[len(found["stem"]) + len("-00001-of-00001") :]
    paths = tuple(path.with_name(f"{found['stem']}-{index:05}-of-{count:05}{tail}") for index in range(1, count + 1))
    for part in paths[1:]:
        if part.is_symlink() or not part.is_file():
            raise InvalidModel(f"The part {part.name} of the split model is missing.")
    return paths


def part(name: str) -> int | None:
    """Return which part of a split model a file name says it is (1 for the first), or None for a whole model."""
    found = _PART.fullmatch(name)
    return int(found["number"]) if found and int(found["count"]) > 1 else None


def unsplit(name: str) -> str:
    """Return a GGUF file's name without its ending and without the numbers of a part."""
    found = _PART.fullmatch(name)
    return found["stem"] if found else name.rsplit(".", 1)[0]


def _part(path: Path) -> Contents:
    if kind(path) != "gguf":
        raise refuse(path)
    return read(path)


def _check_parts(contents: Sequence[Contents], name: str) -> None:
    announced = contents[0].values.get("split.count", 0)
    count = announced if type(announced) is int and announced > 0 else 1
    if count != len(contents):
        raise InvalidModel(f"{name} belongs to a model of {count} parts, but {len(contents)} are here.")
    if count > 1:
        numbers = [each.values.get("split.no") for each in contents]
        if numbers != list(range(count)):
            raise InvalidModel(f"The parts of the split model {name} are not in order.")


class _Facts:
    """Reads typed facts out of the values of the first part."""

    def __init__(self, contents: Contents) -> None:
        self._values = contents.values
        self._architecture = self._text("general.architecture") or ""
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", self._architecture):
            raise InvalidModel("The GGUF header does not name the architecture of the model.")

    def header(self, contents: Sequence[Contents]) -> Header:
        tensors = [tensor for each in contents for tensor in each.tensors]
        file_type = self._number("general.file_type", 0, 2**20, None)
        of = _kind(self._text("general.type"), self._architecture)
        common: dict[str, Any] = {
            "architecture": self._architecture,
            "kind": of,
            "name": (self._text("general.name") or "")[:256],
            "file_type": file_type,
            "quantisation": FILE_TYPES.get(-1 if file_type is None else file_type) or _commonest(tensors),
            "parameters": sum(tensor.weights for tensor in tensors),
            "licence": (self._text("general.license") or "")[:256] or None,
            "tensor_bytes": sum(tensor.size for tensor in tensors),
            "size": sum(each.size for each in contents),
            "parts": len(contents),
            "vision": self._flag("clip.has_vision_encoder", default=False),
            "hearing": self._flag("clip.has_audio_encoder", default=False),
        }
        if of != "model":
            return Header(**common)
        if not tensors:
            raise InvalidModel("The GGUF file holds no tensors; it is a vocabulary and not a model.")
        gated = any(".ffn_gate" in tensor.name for tensor in tensors)
        return Header(**common, gated=gated, matrices=_matrices(tensors), **self._shape(), **self._language())

    def _shape(self) -> dict[str, Any]:
        blocks = self._own("block_count", 1, BLOCKS_LIMIT)
        embedding = self._own("embedding_length", 1, LENGTH_LIMIT)
        recurrent = any(
            key.startswith((f"{self._architecture}.ssm.", f"{self._architecture}.wkv.")) for key in self._values
        )
        least = 0 if recurrent else 1
        heads = max(self._per_block("attention.head_count", blocks, least, None))
        heads_kv = self._per_block("attention.head_count_kv", blocks, 0, heads)
        if least and not any(heads_kv):
            raise InvalidModel(f"The GGUF key {self._architecture}.attention.head_count_kv is 0.")
        usual = embedding // heads if heads else 0
        return {
            "context": self._own("context_length", 1, 2**31, 0),
            "blocks": blocks,
            "embedding": embedding,
            "feed_forward": self._widest(blocks),
            "heads": heads,
            "heads_kv": heads_kv,
            "key_length": self._own("attention.key_length", 1, LENGTH_LIMIT, usual),
            "value_length": self._own("attention.value_length", 1, LENGTH_LIMIT, usual),
            "window": self._own("attention.sliding_window", 0, 2**31, 0),
            "state": self._state(blocks, embedding),
        }

    def _language(self) -> dict[str, Any]:
        tokens = self._values.get("tokenizer.ggml.tokens")
        listed = tokens if isinstance(tokens, Skipped) else Skipped(0)
        named = all(
            any(f"tokenizer.ggml.{name}_token_id" in self._values for name in names)
            for names in (("fim_pre", "prefix"), ("fim_suf", "suffix"), ("fim_mid", "middle"))
        )
        pooling = self._own("pooling_type", 0, len(_POOLING) - 1, -1)
        return {
            "vocabulary": listed.length or self._own("vocab_size", 0, 2**31, 0),
            "template": self._text("tokenizer.chat_template") or None,
            "pooling": _POOLING[pooling] if pooling >= 0 else None,
            "infill": named or len(listed.fills) == 3,
            "causal": self._flag(f"{self._architecture}.attention.causal", default=self._architecture not in _ENCODERS),
        }

    def _widest(self, blocks: int) -> int:
        dense = max(self._per_block("feed_forward_length", blocks, 0, 0))
        expert = self._own("expert_feed_forward_length", 0, LENGTH_LIMIT, 0) or dense
        return max(dense, expert * self._own("expert_used_count", 0, 4096, 0))

    def _state(self, blocks: int, embedding: int) -> int:
        """Numbers of recurrent state: that of a selective state space, or of an RWKV block."""
        inner = self._own("ssm.inner_size", 0, LENGTH_LIMIT, 0)
        kernel = self._own("ssm.conv_kernel", 0, 1024, 0)
        width = self._own("ssm.state_size", 0, LENGTH_LIMIT, 0)
        groups = self._own("ssm.group_count", 0, LENGTH_LIMIT, 0)
        head = self._own("wkv.head_size", 0, LENGTH_LIMIT, 0)
        space = max(kernel - 1, 0) * (inner + 2 * groups * width) + inner * width
        return blocks * (space + embedding * (head + 2) * bool(head))

    def _per_block(self, key: str, blocks: int, least: int, default: int | None) -> tuple[int, ...]:
        """A number for each block: the file has one for all or a list of them."""
        full = f"{self._architecture}.{key}"
        value = self._values.get(full)
        numbers = _list(value)
        if numbers is not None:
            if len(numbers) < blocks or not all(type(each) is int and 0 <= each <= LENGTH_LIMIT for each in numbers):
                raise InvalidModel(f"The GGUF key {full} is not one number for each of {blocks} blocks.")
            if least and not any(numbers[:blocks]):
                raise InvalidModel(f"The GGUF key {full} is 0.")
            return tuple(numbers[:blocks])
        number = self._number(full, least, HEADS_LIMIT if "head" in key else LENGTH_LIMIT, default)
        if number is None:
            raise InvalidModel(f"The GGUF header lacks the key {full}.")
        return (number,) * blocks

    def _own(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """A number of this architecture, or of the sort of thing the file is."""
        number = self._number(f"{self._architecture}.{key}", least, most, default)
        if number is None:
            raise InvalidModel(f"The GGUF header lacks the key {self._architecture}.{key}.")
        return number

    def _number(self, key: str, least: int, most: int, default: int | None) -> int | None:
        value = self._values.get(key)
        if numbers := _list(value):
            value = max((each for each in numbers if type(each) is int), default=None)
        if value is None:
            return default
        if type(value) is not int or not least <= value <= most:
            raise InvalidModel(f"The GGUF key {key} is not a whole number from {least} to {most}.")
        return value

    def _text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is not None and not isinstance(value, str):
            raise InvalidModel(f"The GGUF key {key} is not a text.")
        return value

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise InvalidModel(f"The GGUF key {key} is not true or false.")
        return value


def _list(value: Any) -> list[Any] | None:
    return cast("list[Any]", value) if isinstance(value, list) else None


def _kind(said: str | None, architecture: str) -> Kind:
    if architecture == "clip" or said == "mmproj":
        return "mmproj"
    if said in {None, "", "model"}:
        return "model"
    return "adapter" if said == "adapter" else "other"


def _commonest(tensors: Sequence[Tensor]) -> str:
    """The tensor type that takes most bytes."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[FORMATS[tensor.kind].name] += tensor.size
    return sizes.most_common(1)[0][0] if sizes else ""


def _matrices(tensors: Sequence[Tensor]) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        if len(tensor.shape) > 1 and tensor.name.startswith(("blk.", "output.")):
            sizes[FORMATS[tensor.kind].name] += tensor.size
    return dict(sizes)
