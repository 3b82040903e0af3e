import pytest

import ggufs
from localai.core.errors import InvalidModel
from localai.loader.inspect import inspect, part, siblings, unsplit


def write(folder, name="model.gguf", values=None, **more):
    path = folder / name
    path.write_bytes(ggufs.build(ggufs.LLAMA | (values or {}), **more))
    return path


def test_facts(tmp_path):
    """The header carries what the file says, and what follows from it."""
    header = inspect(write(tmp_path, values={"general.license": "mit", "tokenizer.chat_template": "{{ 1 }}"}))
    assert (header.architecture, header.name, header.quantisation, header.licence) == ("llama", "Tiny", "F32", "mit")
    assert (header.context, header.blocks, header.embedding, header.feed_forward) == (4096, 2, 64, 128)
    assert (header.heads, header.heads_kv, header.key_length, header.value_length) == (4, (2, 2), 16, 16)
    assert (header.vocabulary, header.template, header.pooling, header.causal) == (3, "{{ 1 }}", None, True)
    assert header.parameters == 192 + 4096 + 192
    assert header.tensor_bytes == 768 + 2304 + 204
    assert header.matrices == {"Q4_0": 2304, "Q8_0": 204}
    assert header.size == (tmp_path / "model.gguf").stat().st_size


def test_lists_by_block(tmp_path):
    """Heads and hidden layers may differ by block, and blocks without attention have no cache."""
    values = {"llama.attention.head_count_kv": [2, 0], "llama.feed_forward_length": [128, 512]}
    header = inspect(write(tmp_path, values=values))
    assert header.heads_kv == (2, 0)
    assert header.feed_forward == 512


def test_missing_cache_heads_are_the_heads(tmp_path):
    """Without head_count_kv every head has its own keys and values."""
    values = {key: value for key, value in ggufs.LLAMA.items() if not key.endswith("head_count_kv")}
    path = tmp_path / "m.gguf"
    path.write_bytes(ggufs.build(values))
    assert inspect(path).heads_kv == (4, 4)


def test_mixture(tmp_path):
    """The hidden layer of a mixture is that of all experts a token uses."""
    values = {"llama.expert_feed_forward_length": 100, "llama.expert_used_count": 4}
    assert inspect(write(tmp_path, values=values)).feed_forward == 400


def test_recurrent(tmp_path):
    """A recurrent model may have no heads and keeps a state instead of a cache."""
    values = {
        "llama.attention.head_count": 0,
        "llama.attention.head_count_kv": 0,
        "llama.ssm.inner_size": 128,
        "llama.ssm.state_size": 16,
        "llama.ssm.conv_kernel": 4,
    }
    header = inspect(write(tmp_path, values=values))
    assert header.heads_kv == (0, 0)
    assert header.state == 2 * (3 * 128 + 128 * 16)


@pytest.mark.parametrize(("architecture", "causal"), [("bert", False), ("llama", True)])
def test_encoders_are_not_causal(tmp_path, architecture, causal):
    """An encoder is known by its architecture when the file does not say."""
    values = {key.replace("llama.", f"{architecture}."): value for key, value in ggufs.LLAMA.items()}
    path = tmp_path / "m.gguf"
    path.write_bytes(ggufs.build(values | {"general.architecture": architecture}))
    assert inspect(path).causal is causal


@pytest.mark.parametrize(("number", "name"), list(enumerate(["none", "mean", "cls", "last", "rank"])))
def test_pooling(tmp_path, number, name):
    """The pooling of an embedding model is named."""
    assert inspect(write(tmp_path, values={"llama.pooling_type": number})).pooling == name


def test_infill(tmp_path):
    """Infill is known by named tokens or by tokens of the vocabulary, and only when all three are there."""
    ids = {f"tokenizer.ggml.fim_{name}_token_id": 1 for name in ("pre", "suf", "mid")}
    assert inspect(write(tmp_path, values=ids)).infill
    del ids["tokenizer.ggml.fim_mid_token_id"]
    assert not inspect(write(tmp_path, values=ids)).infill
    tokens = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    assert inspect(write(tmp_path, values={"tokenizer.ggml.tokens": tokens})).infill
    assert not inspect(write(tmp_path, values={"tokenizer.ggml.tokens": tokens[:2]})).infill


@pytest.mark.parametrize(
    ("said", "kind"), [("mmproj", "mmproj"), ("adapter", "adapter"), ("model", "model"), ("control", "other")]
)
def test_kinds(tmp_path, said, kind):
    """What is not a model by itself is told by its type and needs no shape."""
    values = {"general.architecture": "llama", "general.type": said}
    if kind == "model":
        values = ggufs.LLAMA | values
    path = tmp_path / "m.gguf"
    path.write_bytes(ggufs.build(values))
    assert inspect(path).kind == kind


def test_projector_senses(tmp_path):
    """A projector says whether it sees or hears."""
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(ggufs.build({"general.architecture": "clip", "clip.has_vision_encoder": True}))
    header = inspect(path)
    assert (header.kind, header.vision, header.hearing) == ("mmproj", True, False)


def test_file_type_names_the_quantisation(tmp_path):
    """The file's own type wins over that of its tensors, which serves when it is unknown."""
    assert inspect(write(tmp_path, values={"general.file_type": 15})).quantisation == "Q4_K_M"
    assert inspect(write(tmp_path, values={"general.file_type": 999})).quantisation == "Q4_0"


def test_gates(tmp_path):
    """Gated hidden layers are known by their tensors."""
    assert not inspect(write(tmp_path)).gated
    assert inspect(write(tmp_path, tensors=[ggufs.Entry("blk.0.ffn_gate.weight", (64, 128))])).gated


def test_split_model(tmp_path):
    """A split model is read from its first part, in the order of the numbers."""
    for index in range(3):
        values = ggufs.LLAMA if index == 0 else {"general.architecture": "llama"}
        values = values | {"split.no": index, "split.count": 3}
        tensors = [ggufs.Entry(f"blk.{index}.x.weight", (32, 10 * (index + 1)))]
        (tmp_path / f"big-0000{index + 1}-of-00003.gguf").write_bytes(ggufs.build(values, tensors))
    header = inspect(tmp_path / "big-00001-of-00003.gguf")
    assert (header.parts, header.parameters) == (3, 32 * 60)
    assert header.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    parts = [tmp_path / f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert siblings(parts[0]) == tuple(parts)
    with pytest.raises(InvalidModel, match="part 2"):
        inspect(parts[1])
    hidden = [part.rename(tmp_path / f"blob{index}") for index, part in enumerate(parts)]
    assert inspect(hidden[0], hidden[1:]).parts == 3
    with pytest.raises(InvalidModel, match="not in order"):
        inspect(hidden[0], [hidden[2], hidden[1]])
    with pytest.raises(InvalidModel, match="3 parts"):
        inspect(hidden[0])


def test_a_missing_part_is_named(tmp_path):
    """When a part of a split model is missing, the message names it."""
    write(tmp_path, "big-00001-of-00002.gguf", {"split.no": 0, "split.count": 2})
    with pytest.raises(InvalidModel, match="big-00002-of-00002"):
        inspect(tmp_path / "big-00001-of-00002.gguf")


def test_part_names():
    """Part numbers and the common stem are read from file names."""
    assert (part("a-00002-of-00010.gguf"), part("a-00001-of-00001.gguf"), part("a.gguf")) == (2, None, None)
    assert (unsplit("a.b-00001-of-00010.gguf"), unsplit("a.b.gguf")) == ("a.b", "a.b")


@pytest.mark.parametrize(
    "values",
    [
        {"general.architecture": "../x"},
        {"general.architecture": 3},
        {"llama.block_count": 100_000},
        {"llama.block_count": -1.5},
        {"llama.attention.head_count": [4]},
        {"llama.attention.head_count_kv": 0},
        {"llama.embedding_length": 0},
        {"llama.attention.head_count_kv": [0, 0]},
        {"llama.pooling_type": 7},
        {"tokenizer.chat_template": 5},
        {"llama.attention.causal": 1},
    ],
)
def test_wrong_facts_are_refused(tmp_path, values):
    """A fact of a wrong type or beyond reason is refused."""
    with pytest.raises(InvalidModel):
        inspect(write(tmp_path, values=values))


def test_a_vocabulary_is_no_model(tmp_path):
    """A file without tensors is refused as a model."""
    with pytest.raises(InvalidModel, match="no tensors"):
        inspect(write(tmp_path, tensors=[]))
