"""Copies of models, and models made of uploads."""

import hashlib
from pathlib import Path

import pytest

from ggufs import LLAMA, TENSORS, build
from localai.core.caller import LOCAL, Caller
from localai.core.errors import Conflict, Forbidden, InvalidModel, InvalidRequest, ModelNotFound
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.service.intake import Intake
from localai.service.library import Draft, Library
from localai.storage.blobs import Blobs

GGUF = build({**LLAMA, "general.license": "mit", "tokenizer.chat_template": "{{ messages }}"})
OTHER = build({**LLAMA, "general.name": "other"})
MMPROJ = build({"general.architecture": "clip", "general.type": "mmproj", "clip.has_vision_encoder": True})
ADAPTER = build({"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"})
SPLIT = TENSORS[:2]
GUEST = Caller(id="k", owner="o", scopes=frozenset(("models",)), models=("mine", "echo"))


class Shelf:
    """A library over real rooms, with an echo model and a loose file."""

    def __init__(self, home: Path) -> None:
        self.blobs = Blobs(home / "blobs")
        self.catalog = Catalog(home / "models", self.blobs)
        self.intake = Intake(self.blobs)
        self.library = Library(catalog=self.catalog, blobs=self.blobs, intake=self.intake)
        self.catalog.write(ModelFile(name="echo", engine="echo", aliases=("parrot",), context=512))
        (home / "models" / "loose.gguf").write_bytes(GGUF)

    async def upload(self, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

        async def chunks():
            yield data

        await self.intake.take(digest, chunks(), len(data))
        return digest

    async def made(self, name: str = "new", caller: Caller = LOCAL, **draft):
        return await self.library.create(caller, name, Draft(**draft))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


async def test_a_copy_stands_alone(shelf: Shelf):
    """A copy has its source's definition and not its other names, and outlives it."""
    await shelf.library.copy(LOCAL, "parrot", "twin")
    assert shelf.catalog.file("twin") == ModelFile(name="twin", engine="echo", context=512)
    shelf.catalog.remove("echo")
    assert shelf.catalog.find("twin").engine == "echo"
    await shelf.library.copy(LOCAL, "loose", "other/loose:q4")
    assert {model.name for model in shelf.catalog.models()} == {"twin", "loose", "other/loose:q4"}
    shelf.catalog.remove("loose")
    assert shelf.catalog.header(shelf.catalog.find("other/loose:q4")).architecture == "llama"


async def test_a_copy_onto_itself_changes_nothing(shelf: Shelf):
    """Copying a model to its own name, with `:latest` or without, keeps its other names."""
    for name in ("echo", "echo:latest"):
        await shelf.library.copy(LOCAL, "echo", name)
    assert shelf.catalog.file("echo").aliases == ("parrot",)
    await shelf.library.copy(LOCAL, "echo", "twin:latest")
    assert shelf.catalog.file("twin").name == "twin"


async def test_who_may_copy(shelf: Shelf):
    """A key for some models neither reads nor makes another."""
    await shelf.library.copy(GUEST, "echo", "mine")
    with pytest.raises(ModelNotFound):
        await shelf.library.copy(GUEST, "loose", "mine")
    with pytest.raises(Forbidden):
        await shelf.library.copy(GUEST, "echo", "theirs")
    with pytest.raises(Forbidden):
        await shelf.made("theirs", GUEST, base="echo")
    with pytest.raises(ModelNotFound):
        await shelf.made("mine", GUEST, base="loose")


async def test_names_that_cannot_be(shelf: Shelf):
    """A new name has to be one, and may not be another name of another model."""
    with pytest.raises(InvalidRequest):
        await shelf.library.copy(LOCAL, "echo", "../up")
    with pytest.raises(Conflict):
        await shelf.library.copy(LOCAL, "loose", "parrot")
    with pytest.raises(ModelNotFound):
        await shelf.library.copy(LOCAL, "none", "twin")


async def test_a_variant(shelf: Shelf):
    """A variant has what its base has, and its own system message, parameters, template and context."""
    await shelf.made("first", base="echo", parameters={"temperature": 0.5, "stop": ["x"]}, licence="MIT")
    model = await shelf.made(
        "second", base="first", system="Be kind.", template="{{ messages }}", context=256, parameters={"top_k": 3}
    )
    assert (model.system, model.template, model.context, model.stop) == ("Be kind.", "{{ messages }}", 256, ("x",))
    assert (model.parameters.temperature, model.parameters.top_k) == (0.5, 3)
    assert await shelf.library.licence(model) == "MIT"
    assert await shelf.library.licence(shelf.catalog.find("loose")) == "mit"
    assert await shelf.library.licence(shelf.catalog.find("echo")) == ""


async def test_making_it_again_replaces_it(shelf: Shelf):
    """A model made again has the new definition and its other names; a base may be itself."""
    await shelf.made("echo", base="echo", system="Be kind.")
    assert shelf.catalog.file("echo").system == "Be kind."
    assert shelf.catalog.file("echo").aliases == ("parrot",)


async def test_uploads_become_a_model(shelf: Shelf):
    """Uploaded files get their roles by what they hold, and their bytes move into the store."""
    digest, eyes = await shelf.upload(GGUF), await shelf.upload(MMPROJ)
    model = await shelf.made(files=(("eyes.gguf", eyes), ("model.gguf", digest)))
    assert shelf.catalog.file("new").files == {"model": digest, "mmproj": eyes}
    assert "vision" in model.tasks
    assert {f"sha256:{found}" for found in shelf.blobs.digests()} == {digest, eyes}


async def test_an_adapter_is_added(shelf: Shelf):
    """An uploaded adapter is added to the base under the name of its file; a model is no adapter."""
    digest, lora = await shelf.upload(GGUF), await shelf.upload(ADAPTER)
    await shelf.made("base", files=(("m.gguf", digest),))
    model = await shelf.made("tuned", base="base", adapters=(("my lora.gguf", lora),))
    assert [adapter.name for adapter in model.adapters] == ["my-lora"]
    with pytest.raises(InvalidRequest, match="not an adapter"):
        await shelf.made("tuned", base="base", adapters=(("m.gguf", digest),))


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"GGUF" + b"\xff" * 100, InvalidModel, "GGUF"),
        (b"PK\x03\x04....", InvalidModel, "zip"),
        (ADAPTER, InvalidRequest, "addition"),
        (GGUF[:-3000], InvalidModel, "incomplete"),
    ],
)
async def test_what_is_no_model_is_refused(shelf: Shelf, data, error, words):
    """A damaged, foreign or hostile upload is refused by its header, and nothing is installed."""
    digest = await shelf.upload(data)
    with pytest.raises(error, match=words):
        await shelf.made(files=(("m.gguf", digest),))
    assert shelf.blobs.digests() == []
    with pytest.raises(ModelNotFound):
        shelf.catalog.find("new")


async def test_what_cannot_be_written_leaves_nothing(shelf: Shelf):
    """When the model cannot be made its files do not stay in the store, and wait for another try."""
    digest = await shelf.upload(GGUF)
    for draft in ({"parameters": {"temperature": 1000.0}}, {"context": 2**30}):
        with pytest.raises(InvalidRequest, match=next(iter(draft))):
            await shelf.made(files=(("m.gguf", digest),), **draft)
    with pytest.raises(Conflict):
        await shelf.made("parrot", files=(("m.gguf", digest),))
    assert shelf.blobs.digests() == []
    assert (await shelf.made(files=(("m.gguf", digest),))).digests == {"model": digest[7:]}


async def test_two_models_are_not_one(shelf: Shelf):
    """Two whole models cannot be made one."""
    files = (("a.gguf", await shelf.upload(GGUF)), ("b.gguf", await shelf.upload(OTHER)))
    with pytest.raises(InvalidRequest, match="more than one"):
        await shelf.made(files=files)
    with pytest.raises(InvalidRequest, match="upload"):
        await shelf.made(files=(("a.gguf", f"sha256:{'0' * 64}"),))


async def test_hostile_templates_are_refused(shelf: Shelf):
    """A template that reaches out of its sandbox makes no model."""
    with pytest.raises(InvalidModel):
        await shelf.made(base="echo", template="{{ messages.__class__ }}")


async def test_bytes_that_nobody_needs_are_removed(shelf: Shelf):
    """Replacing a model removes its old file, unless another model names it or one cannot be read."""
    first, second = await shelf.upload(GGUF), await shelf.upload(OTHER)
    await shelf.made(files=(("m.gguf", first),))
    await shelf.library.copy(LOCAL, "new", "kept")
    await shelf.made(files=(("m.gguf", second),))
    assert len(shelf.blobs.digests()) == 2
    await shelf.made("kept", base="new")
    assert [f"sha256:{found}" for found in shelf.blobs.digests()] == [second]
    first = await shelf.upload(GGUF)
    (Path(shelf.blobs.folder).parent / "models" / "broken.yaml").write_text("{")
    for name in ("kept", "new"):
        await shelf.made(name, files=(("m.gguf", first),))
    assert len(shelf.blobs.digests()) == 2


async def test_a_split_model(shelf: Shelf):
    """The parts of a split model are put in their order."""
    parts = [
        build({**LLAMA, "split.count": 2, "split.no": number}, tensors=(entry,)) for number, entry in enumerate(SPLIT)
    ]
    digests = [await shelf.upload(data) for data in parts]
    names = ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    await shelf.made(files=tuple(reversed(tuple(zip(names, digests, strict=True)))))
    assert shelf.catalog.file("new").files == {"model": digests[0], "model.2": digests[1]}
