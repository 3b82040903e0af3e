import pytest

import ggufs
from localai.core.errors import Conflict
from localai.loader.file import ModelFile
from localai.loader.manifest import manifests
from localai.loader.resolve import Headers, Resolver
from localai.loader.scan import scan
from localai.loader.shelf import Reader
from localai.storage.blobs import Blobs


@pytest.fixture
def reader(tmp_path):
    headers = Headers()
    return Reader(tmp_path, Resolver(tmp_path, Blobs(tmp_path / ".blobs"), headers, manifests), headers)


def test_every_name_is_given_once(tmp_path, reader):
    """Names come before aliases, and the first file (by path) keeps a name that two want."""
    (tmp_path / "a.yaml").write_text("name: one\nengine: echo\naliases: [two, three]\n")
    (tmp_path / "b.yaml").write_text("name: two\nengine: echo\naliases: [three, four]\n")
    (tmp_path / "c.yaml").write_text("name: one\nengine: echo\n")
    shelf = reader.read(scan(tmp_path))
    assert {name: entry.model.name for name, entry in shelf.known.items()} == {
        "one": "one", "two": "two", "three": "one", "four": "two",
    }  # fmt: skip
    assert [(model.name, model.aliases) for model in shelf.models] == [("one", ("three",)), ("two", ("four",))]
    assert shelf.problems.keys() == {"c.yaml"}


def test_a_broken_file_keeps_its_name(tmp_path, reader):
    """Loose weights do not take the name of a model whose own weights are missing."""
    (tmp_path / "a.yaml").write_text("name: x\nengine: llama\nfiles: {model: gone.gguf}\n")
    (tmp_path / "x.gguf").write_bytes(ggufs.build())
    shelf = reader.read(scan(tmp_path))
    assert shelf.broken.keys() == {"x"}
    assert [model.name for model in shelf.models] == ["x-2"]


def test_loose_weights_get_a_file(tmp_path, reader):
    """A model file may be written for loose weights under their name, if it names them; another may not."""
    (tmp_path / "x.gguf").write_bytes(ggufs.build())
    shelf = reader.read(scan(tmp_path))
    with pytest.raises(Conflict):
        reader.write(ModelFile(name="x", engine="echo"), shelf)
    reader.write(ModelFile(name="x", files={"model": "x.gguf"}, slots=2), shelf)
    (model,) = reader.read(scan(tmp_path)).models
    assert (model.name, model.slots) == ("x", 2)
