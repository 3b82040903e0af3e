import hashlib
import os
import threading

import pytest
from ruamel.yaml import YAML

import ggufs
from localai.core.errors import Conflict, InvalidModel, ModelNotFound, StorageFailed
from localai.loader import catalog as catalogs
from localai.loader import parse, shelf
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.storage.blobs import Blobs

TEXTS = [
    "a\n  b\n", "\tx\n y \n\n", "no", "1e3", "# x", "{% if x %}\n{{ '\u00e4\U0001f600' }}\n{% endif %}", " ", "\r\n",
    "\n", "x: y\n- z", "---\n...", "'\"", "a\u2028b\nc", "\x07\n", "\ufeff\n", "  a\nb", "a\n\n\n", "\x85\nb", "\\n\n",
]  # fmt: skip


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def catalog(tmp_path, blobs, clock):
    return Catalog(tmp_path / "models", blobs, clock=clock)


@pytest.fixture
def models(tmp_path, catalog):
    return tmp_path / "models"


def names(catalog) -> list[str]:
    return [model.name for model in catalog.models()]


def stored(blobs, data=None) -> str:
    data = ggufs.build() if data is None else data
    digest = hashlib.sha256(data).hexdigest()
    blobs.partial("x").write_bytes(data)
    blobs.adopt(blobs.partial("x"), digest)
    return digest


def test_an_empty_folder(catalog, models):
    """A new catalog makes its folder, private, and has no models."""
    assert catalog.models() == ()
    assert catalog.problems() == {}
    assert models.stat().st_mode & 0o777 == 0o700


def test_write_find_remove(catalog, blobs, models):
    """A written model is found by name and alias; removed, its file and its weights are gone."""
    digest = stored(blobs)
    file = ModelFile(name="owner/m:q4", files={"model": f"sha256:{digest}"}, aliases=("gpt-4o-mini",))
    model = catalog.write(file)
    assert catalog.find("owner/m:q4") == catalog.find("gpt-4o-mini") == model
    assert [path.name for path in models.iterdir()] == ["owner%2Fm%3Aq4.yaml"]
    assert catalog.file("gpt-4o-mini") == file
    catalog.remove("owner/m:q4")
    assert names(catalog) == []
    assert list(models.iterdir()) == []
    assert not blobs.has(digest)


def test_writing_again_changes_the_model(catalog, models):
    """Writing a model that is installed changes it in its own file, whatever that is called."""
    (models / "mine.yaml").write_text("name: e\nengine: echo\n")
    catalog.write(ModelFile(name="e", engine="echo", slots=3))
    assert catalog.find("e").slots == 3
    assert [path.name for path in models.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize("fields", [{"name": "other"}, {"name": "new", "aliases": ("other",)}, {"name": "nick"}])
def test_names_belong_to_one_model(catalog, fields):
    """A name or alias of another model is refused, and nothing is written."""
    catalog.write(ModelFile(name="first", engine="echo", aliases=("nick", "other")))
    with pytest.raises(Conflict) as caught:
        catalog.write(ModelFile(engine="echo", **fields))
    assert "`first`" in caught.value.message
    assert names(catalog) == ["first"]


def test_a_model_that_cannot_be_used_is_not_written(catalog, models):
    """A model whose weights are missing is refused before anything is written."""
    with pytest.raises(InvalidModel):
        catalog.write(ModelFile(name="m", engine="llama", files={"model": "sha256:" + "0" * 64}))
    assert list(models.iterdir()) == []


def test_a_file_in_the_way(catalog, models):
    """A file of the wanted name that holds something else is not overwritten."""
    (models / "m.yaml").write_text("name: [")
    with pytest.raises(Conflict):
        catalog.write(ModelFile(name="m", engine="echo"))
    assert (models / "m.yaml").read_text() == "name: ["


def test_what_is_written_is_read_back(catalog, models):
    """Any text comes back exactly: templates, umlauts, tabs, trailing spaces, words that look like numbers."""
    for text in TEXTS:
        file = ModelFile(name="t", engine="echo", template=text, system=text, description=text)
        catalog.write(file)
        assert catalog.file("t") == file, repr(text)
    catalog.write(ModelFile(name="t", engine="echo", template="{% if x %}\n  {{ y }}\n{% endif %}\n"))
    assert "template: |" in (models / "t.yaml").read_text()


def test_the_written_file_is_plain_yaml(catalog, models):
    """The file a person finds is short, in order, and without defaults."""
    catalog.write(ModelFile(name="e", engine="echo", tasks=("chat",), keep_alive="10m"))
    text = (models / "e.yaml").read_text()
    assert YAML(typ="safe").load(text) == {"name": "e", "engine": "echo", "tasks": ["chat"], "keep_alive": 600.0}
    assert text.startswith("name: e\nengine: echo\n")


def test_a_failed_write_changes_nothing(catalog, monkeypatch):
    """When the disk refuses, the old model stands."""
    catalog.write(ModelFile(name="e", engine="echo", slots=1))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFailed):
        catalog.write(ModelFile(name="e", engine="echo", slots=2))
    assert catalog.find("e").slots == 1


def test_unknown_names_get_suggestions(catalog):
    """A name that is not installed is told with the nearest ones that are; case counts."""
    catalog.write(ModelFile(name="smollm2-135m", engine="echo"))
    for asked in ("smolm2-135m", "SmolLM2-135M"):
        with pytest.raises(ModelNotFound) as caught:
            catalog.find(asked)
        assert caught.value.param == "model"
    with pytest.raises(ModelNotFound, match="Did you mean `smollm2-135m`"):
        catalog.find("smolm2-135m")


def test_loose_weights_are_models(catalog, models):
    """GGUF files dropped into the folder and its sub-folders are served under their stems, with tasks found."""
    (models / "sub").mkdir()
    (models / "Chatty-1B.Q4_0.gguf").write_bytes(ggufs.build(ggufs.LLAMA | {"tokenizer.chat_template": "x"}))
    (models / "sub" / "Embedder.gguf").write_bytes(ggufs.build(ggufs.LLAMA | {"llama.pooling_type": 1}))
    (models / "sub" / "mmproj-x.gguf").write_bytes(ggufs.build({"general.architecture": "clip"}))
    assert names(catalog) == ["Chatty-1B.Q4_0", "Embedder"]
    assert catalog.find("Chatty-1B.Q4_0").tasks == ("chat", "complete", "tokenize")
    assert catalog.find("Embedder").tasks == ("embed", "tokenize")
    assert catalog.file("Embedder").files == {"model": "sub/Embedder.gguf"}
    header = catalog.header(catalog.find("Embedder"))
    assert header is not None
    assert header.pooling == "mean"
    assert catalog.problems() == {}


def test_loose_weights_have_names_of_their_own(catalog, models):
    """Equal stems are told apart by their folder, then by a number; weights that a file names are not served twice."""
    for place in ("x.gguf", "a/x.gguf", "b/x.gguf", "b/c c/x.gguf", "used.gguf"):
        (models / place).parent.mkdir(parents=True, exist_ok=True)
        (models / place).write_bytes(ggufs.build())
    (models / "y.yaml").write_text("name: y\nfiles: {model: used.gguf}\n")
    assert names(catalog) == ["a/x", "b/x", "c-c/x", "x", "y"]


def test_removing_loose_weights(catalog, models):
    """Removing a loose model removes its file, every part of it."""
    for index in range(2):
        values = (ggufs.LLAMA if index == 0 else {"general.architecture": "llama"}) | {
            "split.no": index,
            "split.count": 2,
        }
        data = ggufs.build(values, [ggufs.Entry(f"blk.{index}.x", (32, 4))])
        (models / f"s-0000{index + 1}-of-00002.gguf").write_bytes(data)
    assert names(catalog) == ["s"]
    catalog.remove("s")
    assert list(models.iterdir()) == []


def test_shared_weights_stay(catalog, blobs, models):
    """Weights that another model names, even in a file that is broken otherwise, stay until nobody does."""
    digest = stored(blobs)
    for name in ("a", "b"):
        catalog.write(ModelFile(name=name, files={"model": f"sha256:{digest}"}))
    (models / "broken.yaml").write_text(f"name: [\nmodel: sha256:{digest}\n")
    catalog.remove("a")
    catalog.remove("b")
    assert blobs.has(digest)
    (models / "shared.gguf").write_bytes(ggufs.build())
    for name in ("c", "d"):
        catalog.write(ModelFile(name=name, files={"model": "shared.gguf"}))
    catalog.remove("c")
    assert (models / "shared.gguf").exists()
    catalog.remove("d")
    assert not (models / "shared.gguf").exists()


def test_a_broken_model_can_be_removed_and_replaced(catalog, blobs, models):
    """A model whose weights are gone is a problem; it can be removed, or written anew."""
    digest = stored(blobs)
    for name in ("a", "b"):
        catalog.write(ModelFile(name=name, files={"model": f"sha256:{digest}"}))
    blobs.remove(digest)
    fresh = Catalog(models, blobs)
    assert fresh.problems().keys() == {"a.yaml", "b.yaml"}
    fresh.remove("a")
    fresh.write(ModelFile(name="b", engine="echo"))
    assert names(fresh) == ["b"]
    assert fresh.problems() == {}


def test_aliases_are_not_removed(catalog):
    """Removing by an alias is refused with the name to use."""
    catalog.write(ModelFile(name="m", engine="echo", aliases=("nick",)))
    with pytest.raises(Conflict, match="`m`"):
        catalog.remove("nick")
    with pytest.raises(ModelNotFound):
        catalog.remove("none")


def test_lists_are_read_and_left_alone(catalog, models):
    """The models of a list file are served, and changed by hand only."""
    (models / "all.yaml").write_text("- {name: a, engine: echo}\n- {name: b, engine: echo}\n")
    assert names(catalog) == ["a", "b"]
    with pytest.raises(Conflict):
        catalog.remove("a")
    with pytest.raises(Conflict):
        catalog.write(ModelFile(name="b", engine="echo", slots=1))


def test_problems_and_notes(catalog, models):
    """Files that cannot be used and keys without effect are told; the rest is served."""
    (models / "a.yaml").write_text("name: a\nengine: echo\nf16: true\noptions: {warp: 9}\n")
    (models / "b.yaml").write_text("name: a\nengine: echo\n")
    (models / "c.yaml").write_text("name: c\nengine: echo\naliases: [a, d]\n")
    (models / "d.yaml").write_text("name: x\nalias: none\n")
    (models / "off.yaml").write_text("name: off\nengine: echo\ndisabled: true\n")
    (models / "e.gguf").write_bytes(b"GGUF")
    (models / "f.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    assert names(catalog) == ["a", "c"]
    assert catalog.find("c").aliases == ("d",)
    assert catalog.problems().keys() == {"b.yaml", "d.yaml", "e.gguf", "f.onnx"}
    assert "taken by a.yaml" in catalog.problems()["b.yaml"]
    assert "onnx" in catalog.problems()["f.onnx"]
    assert any("f16" in note for note in catalog.notes()["a.yaml"])
    assert any("options.warp" in note for note in catalog.notes()["a.yaml"])
    assert any("alias `a`" in note for note in catalog.notes()["c.yaml"])


def test_alias_files_redirect(catalog, models):
    """A file that is only an alias gives its target another name."""
    (models / "a.yaml").write_text("name: gpt-4\nalias: real\n")
    (models / "real.yaml").write_text("name: real\nengine: echo\n")
    assert catalog.find("gpt-4").name == "real"
    assert catalog.find("real").aliases == ("gpt-4",)
    assert names(catalog) == ["real"]


def test_changes_are_noticed(catalog, models, clock):
    """Files that come or go are noticed at once, edits within a second; unchanged files are not read again."""
    assert names(catalog) == []
    (models / "a.yaml").write_text("name: a\nengine: echo\n")
    assert names(catalog) == ["a"]
    (models / "a.yaml").write_text("name: renamed\nengine: echo\n")
    clock.now += catalogs.RECHECK
    assert names(catalog) == ["renamed"]
    (models / "a.yaml").unlink()
    assert names(catalog) == []


def test_unchanged_files_are_not_read_again(catalog, models, clock, monkeypatch):
    """Only what changed is parsed; while nothing did, not even the folder is listed."""
    for number in range(20):
        (models / f"m{number}.yaml").write_text(f"name: m{number}\nengine: echo\n")
    first = catalog.models()
    read = []
    monkeypatch.setattr(shelf, "parse", lambda path: (read.append(path.name), parse.parse(path))[1])
    clock.now += 10
    assert catalog.models() is first
    (models / "m3.yaml").write_text("name: m3\nengine: echo\nslots: 2\n")
    clock.now += 10
    assert catalog.find("m3").slots == 2
    assert read == ["m3.yaml"]
    monkeypatch.setattr(catalogs, "scan", None)
    assert len(catalog.models()) == 20


def test_many_threads(catalog, models):
    """Threads that find, write and remove at the same time see whole models only."""
    catalog.write(ModelFile(name="stays", engine="echo"))
    failed = []

    def work(number):
        try:
            for _ in range(5):
                catalog.write(ModelFile(name=f"m{number}", engine="echo"))
                assert catalog.find("stays").engine == "echo"
                catalog.remove(f"m{number}")
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(catalog) == ["stays"]


def test_vetting(catalog, models):
    """A model's template, its own or that of its weights, is vetted before it is loaded."""
    (models / "bad.gguf").write_bytes(ggufs.build(ggufs.LLAMA | {"tokenizer.chat_template": "{{ a.__class__ }}"}))
    (models / "good.yaml").write_text("name: good\nfiles: {model: bad.gguf}\ntemplate: '{{ messages }}'\n")
    (models / "copy.gguf").write_bytes((models / "bad.gguf").read_bytes())
    catalog.vet(catalog.find("good"))
    with pytest.raises(InvalidModel, match="chat template"):
        catalog.vet(catalog.find("copy"))


def test_upstream_files_work(catalog, models):
    """A model file written for LocalAI serves here."""
    (models / "ggml.gguf").write_bytes(ggufs.build())
    (models / "gpt-4.yaml").write_text(
        "name: gpt-4\nbackend: llama-cpp\ncontext_size: 512\nparameters:\n  model: ggml.gguf\n  temperature: 0.2\n"
    )
    model = catalog.find("gpt-4")
    assert (model.engine, model.context, model.parameters.temperature) == ("llama", 512, 0.2)
    assert model.files == {"model": str(models / "ggml.gguf")}
    assert names(catalog) == ["gpt-4"]


def test_latest_is_no_tag_at_all(catalog):
    """A name is found with `:latest` behind it or not, an alias too; a model that has the very name comes first."""
    plain = catalog.write(ModelFile(name="m", engine="echo", aliases=("parrot",)))
    tagged = catalog.write(ModelFile(name="n:latest", engine="echo"))
    assert catalog.find("m:latest") == catalog.find("parrot:latest") == plain
    assert catalog.find("n") == catalog.find("n:latest") == tagged
    with pytest.raises(ModelNotFound):
        catalog.find("m:q4")
    exact = catalog.write(ModelFile(name="m:latest", engine="echo"))
    assert (catalog.find("m"), catalog.find("m:latest")) == (plain, exact)


def test_latest_is_removed_under_either_name(catalog):
    """A model is removed by its name with `:latest` or without; an alias is none of its names."""
    catalog.write(ModelFile(name="m", engine="echo", aliases=("parrot",)))
    catalog.write(ModelFile(name="n:latest", engine="echo"))
    with pytest.raises(Conflict):
        catalog.remove("parrot:latest")
    catalog.remove("m:latest")
    catalog.remove("n")
    assert names(catalog) == []
