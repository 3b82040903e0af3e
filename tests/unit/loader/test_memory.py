import platform

import pytest

from localai.core.errors import InvalidModel, NotEnoughMemory
from localai.core.model import Model
from localai.loader.header import Header
from localai.loader.memory import SLOTS, estimate, pooled, size

MIB = 2**20
HEADER = Header(
    architecture="llama",
    context=8192,
    blocks=30,
    embedding=576,
    feed_forward=1536,
    heads=9,
    heads_kv=(3,) * 30,
    key_length=64,
    value_length=64,
    vocabulary=49152,
    tensor_bytes=92 * MIB,
    size=94 * MIB,
)
ENCODER = Header(
    architecture="bert", causal=False, context=512, blocks=6, embedding=384, feed_forward=1536, heads=12,
    heads_kv=(12,) * 6, key_length=32, value_length=32, vocabulary=30522, tensor_bytes=44 * MIB, size=45 * MIB,
)  # fmt: skip
MODEL = Model(name="m", engine="llama", size=94 * MIB)


def test_cache_is_exact():
    """The cache is heads x (key + value length) x tokens x slots x bytes of its type, for every block."""
    assert estimate(HEADER, context=8192, slots=1).cache == 180 * MIB
    assert estimate(HEADER, context=8192, slots=4).cache == 720 * MIB
    eight = {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}
    assert estimate(HEADER, context=8192, slots=4, options=eight).cache == 382.5 * MIB
    mixed = {"cache_type_k": "f16", "cache_type_v": "q4_0"}
    assert estimate(HEADER, context=8192, slots=1, options=mixed).cache == (90 + 90 * 18 / 64) * MIB


def test_context_is_rounded_up():
    """A slot's context counts in whole steps, as the engine takes it."""
    assert estimate(HEADER, context=1, slots=1).cache == estimate(HEADER, context=256, slots=1).cache
    assert estimate(HEADER, context=257, slots=1).cache == estimate(HEADER, context=512, slots=1).cache


def test_an_unknown_cache_type_counts_as_the_default():
    """A cache type that does not exist is taken for F16."""
    assert estimate(HEADER, context=256, slots=1, options={"cache_type_k": 7}) == estimate(HEADER, context=256, slots=1)


def test_encoders_keep_no_cache():
    """A model that sees the whole text at once has no cache, nor one of earlier conversations."""
    memory = estimate(ENCODER, context=512, slots=4, batch=512)
    assert memory.cache == 0
    assert memory.other < 64 * MIB


def test_a_recurrent_state_counts_for_each_slot():
    """The state of a recurrent model is held once a slot, whatever the context."""
    header = Header(architecture="mamba", state=1000, heads_kv=(0, 0), embedding=8)
    assert estimate(header, context=256, slots=3).cache == 12_000
    assert estimate(header, context=8192, slots=3).cache == 12_000


@pytest.mark.parametrize(("machine", "kinds"), [("x86_64", 100), ("AMD64", 100), ("arm64", 300), ("riscv", 0)])
def test_repacked_matrices_count_twice(monkeypatch, machine, kinds):
    """Matrices of types that the engine stores again for this processor are counted again."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    header = Header(architecture="x", tensor_bytes=1000, matrices={"Q4_0": 100, "Q8_0": 200, "F16": 300})
    assert estimate(header, context=256, slots=1).weights == 1000 + kinds


def test_options_change_the_estimate():
    """Attention without its fused form and a larger conversation cache take more."""
    plain = estimate(HEADER, context=8192, slots=1)
    assert estimate(HEADER, context=8192, slots=1, options={"flash_attention": False}).compute > plain.compute
    assert estimate(HEADER, context=8192, slots=1, options={"cache_ram": 0}).other == plain.other - 256 * MIB


def test_plenty_of_memory():
    """With enough memory a model gets the server's context and all slots."""
    sizing = size(MODEL, HEADER, budget=2**40, context=4096, threads=3)
    assert (sizing.context, sizing.slots, sizing.threads, sizing.batch) == (4096, SLOTS, 3, 128)
    assert sizing.memory == estimate(HEADER, context=4096, slots=SLOTS)


def test_slots_give_way_before_context():
    """With less memory it gets fewer slots, then a shorter context."""
    one = estimate(HEADER, context=8192, slots=1).total
    two = estimate(HEADER, context=8192, slots=2).total
    assert size(MODEL, HEADER, budget=two, context=8192, threads=1).slots == 2
    assert size(MODEL, HEADER, budget=one, context=8192, threads=1).context == 8192
    short = size(MODEL, HEADER, budget=one - 1, context=8192, threads=1)
    assert short.context == 4096
    assert short.memory.total < one


def test_the_trained_context_is_the_most():
    """More context than a model was trained with is refused when asked for, and a default is lowered to it."""
    assert size(MODEL, HEADER, budget=2**40, context=100_000, threads=1).context == 8192
    wide = Model(name="m", engine="llama", context=20_000)
    with pytest.raises(InvalidModel, match=r"20000.*8192"):
        size(wide, HEADER, budget=2**40, context=1, threads=1)
    stretched = Model(name="m", engine="llama", context=20_000, options={"rope_freq_scale": 0.25})
    assert size(stretched, HEADER, budget=2**40, context=1, threads=1).context == 20_000


def test_what_the_file_says_is_kept():
    """Context, slots and threads of the model file are kept, and refused when they do not fit."""
    model = Model(name="m", engine="llama", context=8192, slots=2, threads=7)
    need = estimate(HEADER, context=8192, slots=2).total
    sizing = size(model, HEADER, budget=need, context=512, threads=1)
    assert (sizing.context, sizing.slots, sizing.threads) == (8192, 2, 7)
    with pytest.raises(NotEnoughMemory) as caught:
        size(model, HEADER, budget=need - 1, context=512, threads=1)
    assert f"needs {need / MIB:.0f} MiB" in caught.value.message
    assert "2 x 8192 tokens" in caught.value.message
    assert "`context: 8192` and `slots: 1`" in caught.value.message


def test_nothing_fits():
    """When even the smallest does not fit, the message says what to do."""
    with pytest.raises(NotEnoughMemory, match="smaller") as caught:
        size(MODEL, HEADER, budget=100 * MIB, context=8192, threads=1)
    assert "may have 100 MiB" in caught.value.message
    assert caught.value.param == "model"


def test_other_files_count():
    """Projectors, drafts and adapters are weights too."""
    model = Model(name="m", engine="llama", size=100 * MIB)
    assert size(model, HEADER, budget=2**40, context=256, threads=1).memory.weights == 98 * MIB


def test_pooled_models_take_a_text_in_one_batch():
    """A model that makes a vector of a text computes the whole of it at once."""
    assert pooled(ENCODER)
    assert not pooled(HEADER)
    sizing = size(MODEL, ENCODER, budget=2**40, context=8192, threads=1)
    assert (sizing.context, sizing.batch) == (512, 512)


def test_an_engine_without_a_file():
    """An engine without a model file gets what was asked for."""
    sizing = size(Model(name="e", engine="echo", slots=9), None, budget=0, context=777, threads=2)
    assert (sizing.context, sizing.slots, sizing.threads) == (777, 9, 2)
