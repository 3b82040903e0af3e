"""Hostile GGUF files (H40): nothing but InvalidModel, within a second and 64 MiB."""

import random
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ggufs
from localai.core.errors import InvalidModel
from localai.loader.header import tasks
from localai.loader.inspect import inspect
from localai.loader.memory import estimate


def _dims(*shape, kind=0):
    return ggufs.build(tensors=[ggufs.Entry("t", shape, kind)], data=False)


def _with(**values):
    renamed = {key.replace("__", "."): value for key, value in values.items()}
    return ggufs.build(ggufs.LLAMA | renamed)


def _array(kind, count, data=b""):
    return ggufs.Raw(ggufs.ARRAY, struct.pack("<IQ", kind, count) + data)


def _twice():
    return ggufs.build(keys=len(ggufs.LLAMA) + 1).replace(
        ggufs.pair("general.name", "Tiny"), ggufs.pair("general.name", "Tiny") * 2, 1
    )


HOSTILE = {
    "2^63 keys": lambda: ggufs.build(keys=2**63),
    "2^64-1 keys": lambda: ggufs.build(keys=2**64 - 1),
    "16384 keys announced": lambda: ggufs.build(keys=16_384),
    "2^40 tensors": lambda: ggufs.build(count=2**40),
    "65536 tensors announced": lambda: ggufs.build(count=65_536),
    "string beyond the end": lambda: _with(x=ggufs.Raw(ggufs.STRING, struct.pack("<Q", 10**6))),
    "string of 2^64-1": lambda: _with(x=ggufs.Raw(ggufs.STRING, struct.pack("<Q", 2**64 - 1))),
    "key of 2^40": lambda: b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**40),
    "dims overflow": lambda: _dims(2**32, 2**32, 2**32, 2**32),
    "dims overflow to small": lambda: _dims(2**63, 2),
    "dims of zero": lambda: _dims(0, 5),
    "dims of 2^64-1": lambda: _dims(2**64 - 1),
    "no dims": _dims,
    "five dims": lambda: _dims(1, 1, 1, 1, 1),
    "part of a block": lambda: _dims(33, kind=2),
    "offset past the end": lambda: ggufs.build(tensors=[ggufs.Entry("t", (32,), offset=2**40)]),
    "offset of 2^64-32": lambda: ggufs.build(tensors=[ggufs.Entry("t", (32,), offset=2**64 - 32)]),
    "offset not aligned": lambda: ggufs.build(tensors=[ggufs.Entry("t", (32,), offset=1)]),
    "tensors that overlap": lambda: ggufs.build(tensors=[ggufs.Entry("t", (32,)), ggufs.Entry("u", (32,), offset=0)]),
    "size past the end": lambda: ggufs.build(tensors=[ggufs.Entry("t", (2**30,))], data=False),
    "alignment 0": lambda: _with(general__alignment=0),
    "alignment 3": lambda: _with(general__alignment=3),
    "alignment 2^31": lambda: _with(general__alignment=2**31),
    "alignment as text": lambda: _with(general__alignment="32"),
    "alignment as truth": lambda: _with(general__alignment=True),
    "nested array": lambda: _with(x=_array(ggufs.ARRAY, 1, struct.pack("<IQ", 4, 1) + bytes(4))),
    "array of 2^63 bytes": lambda: _with(x=_array(0, 2**63)),
    "array of 2^61 numbers": lambda: _with(x=_array(10, 2**61)),
    "array of 2^60 strings": lambda: _with(x=_array(ggufs.STRING, 2**60)),
    "array of an unknown type": lambda: _with(x=_array(77, 1)),
    "unknown type": lambda: _with(x=ggufs.Raw(13, b"")),
    "unknown tensor type": lambda: _dims(32, kind=4),
    "removed tensor type": lambda: _dims(32, kind=31),
    "tensor type 2^32-1": lambda: _dims(32, kind=2**32 - 1),
    "tensor name of 64 bytes": lambda: ggufs.build(tensors=[ggufs.Entry("n" * 64, (32,))]),
    "zero blocks": lambda: _with(llama__block_count=0),
    "zero heads": lambda: _with(llama__attention__head_count=0),
    "2^32-1 blocks": lambda: _with(llama__block_count=2**32 - 1),
    "duplicate key": _twice,
    "duplicate tensor": lambda: ggufs.build(tensors=[ggufs.Entry("t", (32,)), ggufs.Entry("t", (32,))]),
    "100 MB of tokens": lambda: _with(
        tokenizer__ggml__tokens=_array(ggufs.STRING, 2_000_000, ggufs.text("t" * 42) * 2_000_000)
    ),
    "10 million tokens": lambda: _with(
        tokenizer__ggml__tokens=_array(ggufs.STRING, 10_000_000, ggufs.text("") * 10_000_000)
    ),
    "a token of 1 MB": lambda: _with(tokenizer__ggml__tokens=["t" * 2**20]),
    "a template of 2 MB": lambda: _with(tokenizer__chat_template="t" * 2**21),
    "only the magic": lambda: b"GGUF",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    """Every hostile file is refused as an invalid model."""
    path = tmp_path / "model.gguf"
    path.write_bytes(HOSTILE[name]())
    with pytest.raises(InvalidModel):
        inspect(path)


@pytest.mark.parametrize("name", ["100 MB of tokens", "10 million tokens", "array of 2^61 numbers", "2^63 keys"])
def test_hostile_files_take_little_memory(tmp_path, name):
    """Whatever a file announces or holds, looking at it takes no more than 64 MiB."""
    path = tmp_path / "model.gguf"
    path.write_bytes(HOSTILE[name]())
    assert _peak(path) < 64 * 2**20


def _peak(path) -> int:
    """Bytes by which inspecting a file grows a fresh process."""
    program = (
        "import contextlib, resource, sys; from pathlib import Path;"
        "from localai.core.errors import InvalidModel; from localai.loader.inspect import inspect\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit\n"
        "before = peak()\n"
        "with contextlib.suppress(InvalidModel): inspect(Path(sys.argv[1]))\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_the_largest_accepted_header_takes_little_memory(tmp_path):
    """A header at all limits at once is read within 64 MiB of memory."""
    values = ggufs.LLAMA | {f"x.{number}": list(range(1000)) for number in range(2000)}
    values |= {f"y.{number}.{'k' * 900}": number for number in range(10_000)}
    values |= {"tokenizer.chat_template": "\U0001f600" * (2**18 - 1), "z": "\U0001f600" * (2**18 - 1)}
    tensors = [ggufs.Entry(f"blk.{number}." + "n" * 50, (1, 1, 1, 1)) for number in range(65_536)]
    path = tmp_path / "model.gguf"
    path.write_bytes(ggufs.build(values, tensors))
    assert inspect(path).parameters == 65_536
    assert _peak(path) < 64 * 2**20


@pytest.mark.slow
def test_mutations_are_read_or_refused(tmp_path):
    """200,000 mutated headers raise nothing but InvalidModel, and what is accepted can be reasoned about."""
    chance = random.Random(20_260_101)
    values = ggufs.LLAMA | {"tokenizer.chat_template": "{{ messages }}", "llama.pooling_type": 0, "x.list": [1, 2]}
    seed = bytearray(ggufs.build(values))
    front = len(seed) - 3300
    path = tmp_path / "model.gguf"
    path.write_bytes(seed)
    accepted = 0
    with path.open("r+b", buffering=0) as file:
        for _ in range(200_000):
            data = _mutated(seed, front, chance)
            file.seek(0)
            file.write(data)
            file.truncate()
            try:
                header = inspect(path)
            except InvalidModel:
                continue
            accepted += 1
            tasks(header)
            assert estimate(header, context=2**20, slots=64).total > 0
    assert 1000 < accepted < 190_000


_ODD = [0, 1, 3, 2**7, 2**8 - 1, 2**15, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


def _mutated(seed: bytearray, front: int, chance: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.randrange(4, front)
        match chance.randrange(5):
            case 0:
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                data[place] = chance.randrange(256)
            case 2:
                width = chance.choice((1, 2, 4, 8))
                data[place : place + width] = (chance.choice(_ODD) & (256**width - 1)).to_bytes(width, "little")
            case 3:
                del data[place : place + chance.randrange(1, 16)]
            case _:
                source = chance.randrange(front)
                data[place:place] = data[source : source + chance.randrange(1, 32)]
    return bytes(data)


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused(tmp_path_factory, noise):
    """Noise after the magic is refused as an invalid model."""
    path = tmp_path_factory.getbasetemp() / "noise.gguf"
    path.write_bytes(b"GGUF" + noise)
    with pytest.raises(InvalidModel):
        inspect(path)
