"""Contexts larger than planned."""

from pathlib import Path

import pytest

from ggufs import LLAMA, build
from localai.core.model import Model
from localai.fleet.snapshot import Row, Snapshot
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.service.contexts import Contexts
from localai.storage.blobs import Blobs


class Roster:
    """The part of a fleet that is asked: what is loaded."""

    def __init__(self) -> None:
        self.rows: tuple[Row, ...] = ()

    def snapshot(self) -> Snapshot:
        return Snapshot(models=self.rows)

    def load(self, model: Model, state: str = "ready") -> None:
        self.rows = (*self.rows, Row(name=model.name, state=state, context=model.context or 8192))


class Room:
    """Contexts over a real catalog with two models: one trained for 65536 tokens, and one that echoes."""

    def __init__(self, home: Path) -> None:
        self.catalog = Catalog(home / "models", Blobs(home / "blobs"))
        (home / "models" / "tiny.gguf").write_bytes(build({**LLAMA, "llama.context_length": 65536}))
        self.catalog.write(ModelFile(name="tiny", files={"model": "tiny.gguf"}))
        self.catalog.write(ModelFile(name="echo", engine="echo", context=2048))
        self.fleet = Roster()
        self.contexts = Contexts(self.catalog, self.fleet, 8192)

    async def fit(self, name: str, wanted: int | None) -> Model:
        return await self.contexts.fit(self.catalog.find(name), wanted)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


async def test_what_is_enough_changes_nothing(room: Room):
    """A request that wants no more than is planned or loaded runs on the model as it is."""
    tiny = room.catalog.find("tiny")
    for wanted in (None, 1, 4096, 8192):
        assert await room.fit("tiny", wanted) is tiny
    assert await room.fit("echo", 2048) is room.catalog.find("echo")


async def test_more_is_granted_in_powers_of_two(room: Room):
    """A request that wants more gets the next power of two, and a trained context that is less stays the limit."""
    assert (await room.fit("tiny", 9000)).context == 16384
    assert (await room.fit("tiny", 16384)).context == 16384
    assert (await room.fit("tiny", 10**6)).context == 65536
    assert (await room.fit("echo", 3000)).context == 4096


async def test_a_larger_context_stays_while_it_is_loaded(room: Room):
    """Once a larger context is loaded everybody gets it; when it is gone the plan counts again."""
    tiny = room.catalog.find("tiny")
    room.fleet.load(tiny)
    larger = await room.fit("tiny", 30000)
    assert await room.fit("tiny", None) is tiny  # the larger one is not there yet
    room.fleet.load(larger, "starting")
    for wanted in (None, 512, 20000, 32768):
        assert await room.fit("tiny", wanted) == larger
    room.fleet.rows = ()
    assert await room.fit("tiny", None) is tiny


async def test_a_refused_context_is_forgotten(room: Room):
    """While a larger context cannot be had, requests that do not want it run on what is there."""
    tiny = room.catalog.find("tiny")
    room.fleet.load(tiny)
    assert (await room.fit("tiny", 60000)).context == 65536
    assert await room.fit("tiny", None) is tiny
    assert await room.fit("tiny", 8000) is tiny


async def test_a_changed_model_starts_anew(room: Room):
    """A model whose file changed is not served by the larger context of the one before."""
    larger = await room.fit("tiny", 30000)
    room.fleet.load(larger)
    room.catalog.write(ModelFile(name="tiny", files={"model": "tiny.gguf"}, system="Be kind."))
    changed = room.catalog.find("tiny")
    assert await room.fit("tiny", None) is changed


async def test_stretched_models_have_no_limit(room: Room):
    """A model whose file stretches it is not held to its trained context."""
    room.catalog.write(ModelFile(name="tiny", files={"model": "tiny.gguf"}, options={"rope_freq_scale": 0.5}))
    assert (await room.fit("tiny", 100000)).context == 131072


async def test_what_was_halved_is_not_asked_again(room: Room):
    """A model that got less than planned, for want of memory, is not loaded anew for what was planned."""
    tiny = room.catalog.find("tiny")
    room.fleet.rows = (Row(name="tiny", state="ready", context=4096),)
    assert await room.fit("tiny", 8192) is tiny
