import struct

import pytest

import ggufs
from localai.core.errors import InvalidModel
from localai.loader.gguf import Skipped, read


def write(tmp_path, data):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return path


def refused(tmp_path, data) -> str:
    with pytest.raises(InvalidModel) as caught:
        read(write(tmp_path, data))
    return caught.value.message


@pytest.mark.parametrize("version", [2, 3])
def test_reads(tmp_path, version):
    """Values, long arrays (as their length) and the tensor list of versions 2 and 3 are read."""
    values = ggufs.LLAMA | {"x.flag": True, "x.list": [1, 2, 3], "x.long": list(range(2000)), "x.half": 0.5}
    contents = read(write(tmp_path, ggufs.build(values, version=version)))
    assert contents.version == version
    assert contents.values["general.name"] == "Tiny"
    assert contents.values["x.flag"] is True
    assert contents.values["x.list"] == [1, 2, 3]
    assert contents.values["x.long"] == Skipped(2000)
    assert contents.values["x.half"] == 0.5
    assert contents.values["tokenizer.ggml.tokens"] == Skipped(3)
    assert [(tensor.name, tensor.weights, tensor.size) for tensor in contents.tensors] == [
        ("token_embd.weight", 192, 768),
        ("blk.0.attn_q.weight", 4096, 2304),
        ("output.weight", 192, 204),
    ]
    assert contents.size == (tmp_path / "model.gguf").stat().st_size


def test_fill_tokens_are_found(tmp_path):
    """Fill-in-the-middle tokens are seen in a vocabulary that is not kept, however long it is."""
    words = [f"word{number}" for number in range(300_000)]
    words[5], words[150_000], words[299_999] = "<fim_prefix>", "<fim_suffix>", "<fim_middle>"
    contents = read(write(tmp_path, ggufs.build(ggufs.LLAMA | {"tokenizer.ggml.tokens": words})))
    assert contents.values["tokenizer.ggml.tokens"] == Skipped(300_000, frozenset((0, 1, 2)))


def test_fill_tokens_as_a_part_of_others_do_not_count(tmp_path):
    """A token that only contains a mark is not one."""
    contents = read(write(tmp_path, ggufs.build(ggufs.LLAMA | {"tokenizer.ggml.tokens": ["x<fim_prefix>x"]})))
    assert contents.values["tokenizer.ggml.tokens"].fills == frozenset()


def test_alignment(tmp_path):
    """Another alignment is honoured."""
    data = ggufs.build(ggufs.LLAMA | {"general.alignment": 128}, alignment=128)
    assert len(read(write(tmp_path, data)).tensors) == 3


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions_are_refused(tmp_path, version):
    """Versions but 2 and 3, and the big-endian ones, are refused by name."""
    assert "GGUF" in refused(tmp_path, ggufs.build(version=version))


def test_every_truncation_is_refused(tmp_path):
    """A file cut anywhere before the end of its tensors is refused."""
    whole = ggufs.build()
    needed = len(whole) - 32  # the last tensor's padding is not needed
    for length in range(0, needed, 7):
        refused(tmp_path, whole[:length])


def test_incomplete_data_is_told(tmp_path):
    """A file that ends before its tensors is called incomplete."""
    assert "incomplete" in refused(tmp_path, ggufs.build(data=False))


def test_invalid_text_is_replaced(tmp_path):
    """Bytes that are no UTF-8 do not stop the reading."""
    contents = read(write(tmp_path, ggufs.build(ggufs.LLAMA | {"general.name": b"a\xff"})))
    assert contents.values["general.name"] == "a\ufffd"


def test_kept_numbers_are_bounded(tmp_path):
    """Many short arrays are kept only up to a total."""
    values = ggufs.LLAMA | {f"x.{number}": list(range(1000)) for number in range(100)}
    contents = read(write(tmp_path, ggufs.build(values)))
    assert contents.values["x.0"] == list(range(1000))
    assert contents.values["x.99"] == Skipped(1000)


def test_kept_text_is_bounded(tmp_path):
    """Many long texts are refused."""
    values = ggufs.LLAMA | {f"x.{number}": "t" * 2**20 for number in range(5)}
    assert "too much text" in refused(tmp_path, ggufs.build(values))


def test_missing_file(tmp_path):
    """A file that is not there is refused."""
    with pytest.raises(InvalidModel, match="cannot be opened"):
        read(tmp_path / "none.gguf")


def test_folder(tmp_path):
    """A folder is refused."""
    with pytest.raises(InvalidModel):
        read(tmp_path)


def test_names_in_messages_are_printable(tmp_path):
    """A key from the file reaches a message without control characters and cut."""
    values = ggufs.LLAMA | {"\x1b[31m" + "k" * 500: ggufs.Raw(99, b"")}
    message = refused(tmp_path, ggufs.build(values))
    assert "\x1b" not in message
    assert len(message) < 200


def test_struct_sizes_agree():
    """The test's own tensor sizes are those of the formats."""
    from localai.loader.ggml import FORMATS

    for kind, (block, taken) in ggufs._SIZES.items():
        assert (FORMATS[kind].block, FORMATS[kind].size) == (block, taken)
    assert struct.calcsize("<IQQ") == 20
