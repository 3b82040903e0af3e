"""Cuts a GGUF into parts as llama.cpp's own tool does, each named by its hash as the store names files."""

import hashlib
from pathlib import Path
from typing import Any

import gguf
import numpy as np


def split(source: Path, folder: Path, count: int) -> list[Path]:
    """Write the parts of `source` into `folder`, in order; their names tell nothing."""
    reader = gguf.GGUFReader(source)
    size = -(-len(reader.tensors) // count)
    paths: list[Path] = []
    for number in range(count):
        path = folder / "part"
        writer = gguf.GGUFWriter(path, _value(reader, "general.architecture"))
        if number == 0:
            _copy(reader, writer)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in reader.tensors[number * size : (number + 1) * size]:
            writer.add_tensor(tensor.name, np.asarray(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        paths.append(path.rename(folder / hashlib.sha256(path.read_bytes()).hexdigest()))
    return paths


def _value(reader: gguf.GGUFReader, name: str) -> Any:
    return reader.fields[name].contents()


def _copy(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for name, field in reader.fields.items():
        if name == "general.architecture" or name.startswith("GGUF."):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
