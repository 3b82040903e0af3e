"""Tells what a file is that is not GGUF, just well enough for a message that helps."""

from pathlib import Path

from localai.core.errors import InvalidModel

_STARTS = (
    (b"PK\x03\x04", "a zip archive or PyTorch checkpoint"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"lmgg", "an old GGML file"),
    (b"tjgg", "an old GGML file"),
    (b"fmgg", "an old GGML file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"ustar", "a tar archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
)


def kind(path: Path) -> str:
    """Return "gguf", "safetensors", "onnx", "empty", "unknown" or a description of a known other kind.

    Raises:
        InvalidModel: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            front = file.read(64)
    except OSError as error:
        raise InvalidModel(f"The model file {path.name} cannot be read.") from error
    if not front:
        return "empty"
    if front.startswith(b"GGUF"):
        return "gguf"
    if front[8:9] == b"{" and 2 <= int.from_bytes(front[:8], "little") <= 100 * 2**20:
        return "safetensors"
    for start, name in _STARTS:
        if front.startswith(start):
            return name
    if front[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if _onnx(front):
        return "onnx"
    return "unknown"


def refuse(path: Path) -> InvalidModel:
    """Return the error that says what `path` is and that nothing here loads it."""
    found = kind(path)
    match found:
        case "empty":
            return InvalidModel(f"The model file {path.name} is empty.")
        case "unknown":
            return InvalidModel(f"The model file {path.name} is of no known kind; GGUF files are supported.")
        case "safetensors" | "onnx":
            return InvalidModel(
                f"The model file {path.name} is {found}, which no installed engine supports; use a GGUF conversion."
            )
        case _:
            return InvalidModel(f"The model file {path.name} is {found}; GGUF files are supported.")


def _onnx(front: bytes) -> bool:
    """ONNX is a protobuf: field 1 (the IR version, a small number), then field 2 (the producer) or another of its."""
    return (
        len(front) > 3 and front[0] == 0x08 and 0 < front[1] < 32 and front[2] in {0x12, 0x1A, 0x22, 0x2A, 0x3A, 0x42}
    )
