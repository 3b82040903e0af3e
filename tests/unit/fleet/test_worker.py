"""One loaded model as the gateway holds it: what it hears of its process, and how it ends."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleets import generate, misbehaving, model
from localai import wire
from localai.core.errors import EngineCrashed, EngineStalled, ModelLoadFailed, ShuttingDown
from localai.core.event import Text
from localai.core.model import Sizing
from puppet import DEAF, Puppet, code, deaf, played


async def test_begins_with_the_load(tmp_path: Path):
    """The first thing a process hears is what to load, and with how much."""
    puppet = Puppet()
    worker = puppet.worker(tmp_path)
    assert await puppet.hear() == wire.Load(model=model(), sizing=Sizing(slots=3))
    assert worker.loaded is None
    worker.kill(EngineCrashed())
    await puppet.end()
    puppet.connection.close()


async def test_no_process(tmp_path: Path):
    """When no process can be started the system's error is raised, and nothing is left of the attempt."""
    puppet = Puppet(("/no/such/program",))
    with pytest.raises(OSError, match="No such file"):
        puppet.worker(tmp_path)
    puppet.connection.close()
    assert not list(tmp_path.iterdir())
    assert not puppet.calls


async def test_loaded_once(tmp_path: Path):
    """That it is loaded is told once, however often the process says so."""
    async with played(tmp_path) as (worker, puppet):
        puppet.ready(memory=5)
        puppet.ready(memory=6)
        puppet.beat(memory=7)
        await puppet.until("loaded 5", "memory 7")
        assert worker.loaded is not None
        assert worker.loaded.memory == 5


async def test_memory(tmp_path: Path):
    """Its memory is what it last said; at the end of the load the most it said."""
    async with played(tmp_path) as (worker, puppet):
        puppet.beat(memory=9)
        puppet.ready(memory=5)
        await puppet.until("memory 9", "loaded 5")
        assert worker.memory == 9
        puppet.beat(memory=4)
        await puppet.until("memory 9", "loaded 5", "memory 4")
        assert worker.memory == 4


@pytest.mark.parametrize(
    ("said", "told", "final"),
    [
        ("invalid_model", "invalid_model", True),
        ("engine_crashed", "engine_crashed", False),
        ("no_such_code", "internal_error", True),
    ],
)
async def test_unable(tmp_path: Path, said: str, told: str, final: bool):
    """A load that failed ends with the process' own error; another start cannot help where a retry cannot."""
    async with played(tmp_path, goodbye=0.0) as (worker, puppet):
        puppet.say(wire.Unable(code=said, message="It is broken."))
        ended = await puppet.end()
        assert (ended.code, ended.message, ended.final) == (told, "It is broken.", final)
        assert ended.exit.cause == "SIGKILL"
        assert worker.loaded is None
        await puppet.until("lost", "ended")


async def test_stop(tmp_path: Path):
    """A worker that is told to end hears so first, then gets SIGTERM."""
    async with played(tmp_path, goodbye=0.02) as (worker, puppet):
        puppet.ready()
        worker.stop()
        assert worker.stopping
        assert await puppet.hear() == wire.Shutdown()
        assert (await puppet.end()).exit.cause == "SIGTERM"


async def test_stop_of_one_that_does_not_want_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What ignores all that is killed after twice the given time, and never taken for hung meanwhile."""
    monkeypatch.setattr(wire, "BEAT", 0.005)
    async with played(tmp_path, DEAF, silence=0.02, stall=0.0, goodbye=1000.0) as (worker, puppet):
        puppet.ready()
        await deaf(tmp_path)
        await worker.link.open(generate("x"), lambda: None)
        began = asyncio.get_running_loop().time()
        worker.stop(0.05)
        puppet.beat()
        puppet.beat()
        ended = await puppet.end()
        assert ended.exit.cause == "SIGKILL"
        assert ended.code == "engine_crashed"
        assert asyncio.get_running_loop().time() - began >= 0.1


async def test_kill(tmp_path: Path):
    """A worker ends at once for the first reason given, which its streams get too; `final` stays once it was said."""
    async with played(tmp_path) as (worker, puppet):
        stream = await worker.link.open(generate("x"), lambda: puppet.called("stream"))
        worker.kill(ShuttingDown("One."))
        worker.kill(ModelLoadFailed("Two."), final=True)
        worker.kill(EngineStalled("Three."))
        assert puppet.calls == ["lost", "stream"]
        assert await code(stream) == "server_shutting_down"
        ended = await puppet.end()
        assert (ended.code, ended.message, ended.final) == ("server_shutting_down", "One.", True)
        assert puppet.calls == ["lost", "stream", "ended"]


async def test_lost_connection(tmp_path: Path):
    """A process that hangs up is lost at once, and killed when it does not end by itself."""
    async with played(tmp_path) as (_, puppet):
        puppet.ready()
        puppet.hang_up()
        await puppet.until("loaded 1", "lost")
        ended = await puppet.end()
        assert (ended.code, ended.final, ended.exit.cause) == ("engine_crashed", False, "SIGKILL")
        assert puppet.calls == ["loaded 1", "lost", "ended"]


async def test_death(tmp_path: Path):
    """The death of a process ends its streams, then is told of with its cause."""
    async with played(tmp_path) as (worker, puppet):
        stream = await worker.link.open(generate("x"), lambda: puppet.called("stream"))
        os.kill(worker.pid, signal.SIGSEGV)
        ended = await puppet.end()
        assert puppet.calls == ["lost", "stream", "ended"]
        assert await code(stream) == "engine_crashed"
        assert (ended.code, ended.final) == ("engine_crashed", False)
        assert "`a` ended unexpectedly (SIGSEGV)" in ended.message


async def test_real_process(tmp_path: Path):
    """A real process loads, answers and dies, and what it printed last is kept."""

    class Real(Puppet):
        def command(self, descriptor: int) -> Sequence[str]:
            return misbehaving(descriptor)

    puppet = Real()
    worker = puppet.worker(tmp_path)
    while worker.loaded is None:
        await puppet.count(len(puppet.calls) + 1)
    stream = await worker.link.open(generate("late exit3"), lambda: None)
    assert await stream.batch() == (Text(text="one "),)
    assert await code(stream) == "engine_crashed"
    ended = await puppet.end()
    puppet.connection.close()
    assert puppet.calls[-2:] == ["lost", "ended"]
    assert ended.exit.cause == "exit 3"
    assert ended.exit.tail.endswith(b"dying by exit3\n")
