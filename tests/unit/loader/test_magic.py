import json

import pytest

from localai.core.errors import InvalidModel
from localai.loader.magic import kind, refuse


@pytest.mark.parametrize(
    ("front", "found"),
    [
        (b"GGUF\x03", "gguf"),
        ((64).to_bytes(8, "little") + json.dumps({"a": {}}).encode(), "safetensors"),
        (b"\x08\x07\x12\x07pytorch\x1a\x051.13", "onnx"),
        (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
        (b"PK\x03\x04...", "a zip archive or PyTorch checkpoint"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer, not the file itself"),
        (b"lmgg", "an old GGML file"),
        (b"", "empty"),
        (b"hello", "unknown"),
    ],
)
def test_kinds_are_told_by_their_first_bytes(tmp_path, front, found):
    """What a file is is told by its first bytes, and refused by that name."""
    path = tmp_path / "model.bin"
    path.write_bytes(front)
    assert kind(path) == found
    message = refuse(path).message
    assert "model.bin" in message
    assert found in message or found == "unknown"


def test_a_file_that_cannot_be_read(tmp_path):
    """A file that is not there is refused."""
    with pytest.raises(InvalidModel):
        kind(tmp_path / "none")
