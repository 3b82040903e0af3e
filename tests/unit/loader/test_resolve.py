import hashlib

import pytest

import ggufs
from localai.core.errors import InvalidModel
from localai.core.task import Sampling
from localai.loader.file import ModelFile
from localai.loader.manifest import manifests
from localai.loader.resolve import Headers, Resolver, parts, unknown
from localai.storage.blobs import Blobs


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def resolver(models, blobs):
    return Resolver(models, blobs, Headers(), manifests)


def stored(blobs, data) -> str:
    digest = hashlib.sha256(data).hexdigest()
    blobs.partial("x").write_bytes(data)
    blobs.adopt(blobs.partial("x"), digest)
    return digest


def test_everything_is_filled_in(resolver, blobs, models):
    """Files become absolute paths, and engine, tasks and size are found."""
    data = ggufs.build(ggufs.LLAMA | {"tokenizer.chat_template": "{{ 1 }}"})
    digest = stored(blobs, data)
    (models / "lora.gguf").write_bytes(b"12345")
    file = ModelFile.model_validate(
        {
            "name": "m",
            "files": {"model": f"sha256:{digest}"},
            "parameters": {"temperature": 0.5, "max_tokens": 9, "stop": ["x"]},
            "adapters": [{"name": "l", "file": "lora.gguf", "scale": 2}],
            "options": {"cache_ram": 5, "nonsense": 1},
            "keep_alive": "1m",
        }
    )
    model = resolver.model(file, 77)
    assert model.files == {"model": str(blobs.path(digest))}
    assert model.digests == {"model": digest}
    assert (model.engine, model.tasks) == ("llama", ("chat", "complete", "tokenize"))
    assert model.size == len(data) + 5
    assert model.adapters[0].path == str(models / "lora.gguf")
    assert (model.parameters, model.max_tokens, model.stop) == (Sampling(temperature=0.5), 9, ("x",))
    assert (model.options, model.keep_alive, model.created) == ({"cache_ram": 5}, 60, 77)
    header = resolver.header(model)
    assert header is not None
    assert header.architecture == "llama"


def test_written_tasks_win(resolver, models):
    """Tasks in the model file are taken as they are, without looking into the weights."""
    (models / "a.gguf").write_bytes(b"GGUF broken")
    file = ModelFile(name="m", engine="llama", files={"model": "a.gguf"}, tasks=("chat", "embed"))
    assert resolver.model(file, 0).tasks == ("chat", "embed")


def test_senses_come_from_the_projector(resolver, models):
    """A projector adds what it can perceive."""
    (models / "a.gguf").write_bytes(ggufs.build(ggufs.LLAMA | {"tokenizer.chat_template": "x"}))
    senses = {"general.architecture": "clip", "clip.has_vision_encoder": True, "clip.has_audio_encoder": True}
    (models / "mmproj.gguf").write_bytes(ggufs.build(senses))
    file = ModelFile(name="m", files={"model": "a.gguf", "mmproj": "mmproj.gguf"})
    assert resolver.model(file, 0).tasks == ("chat", "complete", "tokenize", "vision", "hearing")


def test_an_engine_without_files(resolver):
    """An engine that takes no file has the tasks of its manifest and no header."""
    model = resolver.model(ModelFile(name="e", engine="echo"), 0)
    assert "chat" in model.tasks
    assert resolver.header(model) is None


def test_split_models_carry_all_parts(resolver, models, blobs):
    """The parts of a split model are files of it, in order: by their names, or by their roles."""
    digests = []
    for index in range(2):
        values = (ggufs.LLAMA if index == 0 else {"general.architecture": "llama"}) | {
            "split.no": index,
            "split.count": 2,
        }
        data = ggufs.build(values, [ggufs.Entry(f"blk.{index}.x", (32, 4))])
        (models / f"s-0000{index + 1}-of-00002.gguf").write_bytes(data)
        digests.append(stored(blobs, data))
    model = resolver.model(ModelFile(name="s", files={"model": "s-00001-of-00002.gguf"}), 0)
    assert parts(model.files) == [str(models / "s-00002-of-00002.gguf")]
    written = ModelFile(name="s", files={"model": f"sha256:{digests[0]}", "model.2": f"sha256:{digests[1]}"})
    model = resolver.model(written, 0)
    header = resolver.header(model)
    assert header is not None
    assert header.parts == 2
    assert model.size == header.size


def test_parts_are_in_order_of_numbers():
    """The tenth part comes after the second."""
    assert parts({"model.10": "c", "model": "a", "model.2": "b", "model.x": "no"}) == ["b", "c"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "neither an engine nor a file"),
        ({"engine": "llama"}, "needs a file"),
        ({"engine": "warp", "files": {"model": "a.gguf"}}, "No engine `warp`"),
        ({"files": {"model": "a.bin"}}, "no known kind"),
        ({"files": {"model": "x.safetensors"}}, "safetensors"),
        ({"files": {"model": "lora.gguf"}}, "no model by itself"),
        ({"files": {"model": "sha256:" + "0" * 64}}, "not in the store"),
        ({"files": {"model": "huggingface://a/b"}}, "localai pull"),
        ({"files": {"model": "broken.gguf"}}, "ends in the middle"),
    ],
)
def test_what_cannot_be_used_is_told(resolver, models, fields, said):
    """A missing file, an unknown engine or a file of another kind is told for what it is."""
    (models / "a.gguf").write_bytes(ggufs.build())
    (models / "a.bin").write_bytes(b"hello")
    (models / "broken.gguf").write_bytes(b"GGUF\x03")
    (models / "x.safetensors").write_bytes((64).to_bytes(8, "little") + b'{"a":1}')
    (models / "lora.gguf").write_bytes(ggufs.build({"general.architecture": "llama", "general.type": "adapter"}))
    with pytest.raises(InvalidModel, match=said):
        resolver.model(ModelFile(name="m", **fields), 0)


def test_headers_are_read_once(tmp_path, monkeypatch):
    """A file is inspected once, refused or not, until it changes."""
    looked = []
    look = Headers._look
    monkeypatch.setattr(Headers, "_look", staticmethod(lambda path, parts: (looked.append(path), look(path, parts))[1]))
    headers = Headers()
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    for _ in range(2):
        with pytest.raises(InvalidModel):
            headers.get(path)
    path.write_bytes(ggufs.build())
    assert headers.get(path) is headers.get(path)
    assert len(looked) == 2
    path.unlink()
    with pytest.raises(InvalidModel, match="missing"):
        headers.get(path)


def test_unknown_options():
    """Options that the engine does not list are found."""
    assert unknown({"cache_ram": 1, "warp": 2}, manifests()["llama"]) == ("warp",)
