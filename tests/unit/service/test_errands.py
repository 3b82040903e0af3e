"""Loads and installations that nobody waits for."""

import asyncio

import pytest

from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, ModelLoadFailed, ModelNotFound, NotFound, Overloaded
from localai.core.model import Model
from localai.service import errands
from localai.service.errands import Errands
from localai.service.install import InstallProgress

ME = Caller(id="me", owner="me", scopes=frozenset({"models"}))
YOU = Caller(id="you", owner="you", scopes=frozenset({"models"}))


class FakeManage:
    """Manage and Perform in one: installs what is told to it, step by step; loads `m`, and others in vain."""

    def __init__(self, *steps):
        self.steps = steps
        self.go = asyncio.Event()
        self.loaded = asyncio.Event()

    async def pull(self, caller, source, name, sha256):
        for number, step in enumerate(self.steps):
            if number == 2:
                await self.go.wait()
            yield step

    async def refresh(self):
        """Nothing comes or goes here."""

    def model(self, caller, name):
        if name not in {"m", "bad", "worse"}:
            raise ModelNotFound
        return Model(name=name, engine="echo")

    async def load(self, model):
        self.loaded.set()
        if model.name == "m":
            await self.go.wait()
        raise ModelLoadFailed if model.name == "bad" else ValueError


def working(double, **options):
    return Errands(double, double, **options)


STEPS = (
    InstallProgress(phase="resolving", name="m"),
    InstallProgress(phase="downloading", done=1, total=4, name="m"),
    InstallProgress(phase="installed", name="m"),
)


async def finished(work):
    async with asyncio.timeout(5):
        while work._tasks:
            await asyncio.wait(set(work._tasks))


async def test_an_installation_goes_on_by_itself():
    """Whoever starts an installation gets it with its size, and finds it ended later."""
    manage = FakeManage(*STEPS)
    work = working(manage, now=lambda: 7.0)
    started = await work.install(ME, "starter", patience=5)
    assert (started.name, started.progress.total, started.started, started.ended) == ("m", 4, 7.0, None)
    manage.go.set()
    await finished(work)
    found = work.installation(ME, started.id)
    assert (found.progress.phase, found.ended) == ("installed", 7.0)


async def test_it_is_nobody_elses():
    """Another owner's installation does not exist."""
    work = working(FakeManage(*STEPS[:2]))
    started = await work.install(ME, "starter")
    assert work.installations(ME) == (started,)
    assert work.installations(YOU) == ()
    for identifier in (started.id, "job_x"):
        with pytest.raises(NotFound):
            work.installation(YOU, identifier)
    await finished(work)


async def test_what_cannot_be_begun_is_an_error():
    """A source that is none is refused at once, under the name of the field."""
    work = working(FakeManage(InstallProgress(phase="failed", error="No source.", code="invalid_value")))
    with pytest.raises(InvalidRequest, match="No source") as caught:
        await work.install(ME, "x")
    assert caught.value.param == "model"
    assert work.installations(ME) == ()


async def test_a_load_is_begun_for_models_that_are_there():
    """A load begins for a model that is installed, and is not waited for; how it fails is logged only."""
    manage = FakeManage()
    work = working(manage)
    with pytest.raises(ModelNotFound):
        await work.load(ME, "none")
    for name in ("m", "bad", "worse"):
        await work.load(ME, name)
    await manage.loaded.wait()
    assert work._tasks
    manage.go.set()
    await finished(work)


async def test_only_so_many_at_once(monkeypatch):
    """More than a few at a time are refused, to be tried again."""
    monkeypatch.setattr(errands, "AT_ONCE", 1)
    manage = FakeManage()
    work = working(manage)
    await work.load(ME, "m")
    with pytest.raises(Overloaded):
        await work.load(ME, "m")
    with pytest.raises(Overloaded):
        await work.install(ME, "starter")
    await work.stop()
    assert not work._tasks


async def test_only_so_many_are_remembered(monkeypatch):
    """Installations that ended are forgotten when there are too many, the oldest first."""
    monkeypatch.setattr(errands, "KEPT", 2)
    work = working(FakeManage(*STEPS[:2]))
    started = []
    for _ in range(4):
        started.append(await work.install(ME, "starter"))
        await finished(work)
    assert work.installations(ME) == tuple(started[-2:])
