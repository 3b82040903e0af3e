"""When the gateway loses its patience with a worker: a load without end, an answer that stands still, and silence."""

import asyncio
from pathlib import Path

import pytest

from fleets import generate
from localai import wire
from localai.core.event import Done
from puppet import code, item, later, played


async def test_load_takes_too_long(tmp_path: Path):
    """A process that has not loaded in time is ended for good, with the reason and the time in words."""
    async with played(tmp_path, load=60.0) as (_, puppet):
        later(59.0)
        await asyncio.sleep(0.01)
        assert not puppet.calls
        later(1.0)
        ended = await puppet.end()
        assert (ended.code, ended.final) == ("model_load_failed", True)
        assert "`a` did not load within 60 seconds" in ended.message


async def test_load_in_time(tmp_path: Path):
    """One that has loaded, and one that was told to end, does not end when the time for the load is over."""
    async with (
        played(tmp_path, load=60.0) as (_, puppet),
        played(tmp_path, load=60.0, goodbye=1000.0) as (told, other),
    ):
        puppet.ready()
        told.stop()
        await puppet.until("loaded 1")
        later(61.0)
        await asyncio.sleep(0.01)
        assert puppet.calls == ["loaded 1"]
        assert not other.calls


@pytest.mark.parametrize("progress", [(0, 0), (3, 3, 3)])
async def test_stall(tmp_path: Path, progress: tuple[int, ...]):
    """A worker that makes no progress while somebody waits is ended, and may be tried again."""
    async with played(tmp_path, stall=0.0) as (worker, puppet):
        puppet.ready()
        stream = await worker.link.open(generate("x"), lambda: None)
        for each in progress:
            puppet.beat(each)
        assert await code(stream) == "engine_stalled"
        ended = await puppet.end()
        assert (ended.code, ended.final) == ("engine_stalled", False)
        assert "`a` made no progress for 0 seconds" in ended.message


async def test_no_stall(tmp_path: Path):
    """Progress is no stall; nor is standing still before the load, for nobody, or for a slow reader."""
    async with played(tmp_path, stall=0.0) as (worker, puppet):
        early = await worker.link.open(generate("x"), lambda: None)
        await puppet.beaten(0, 0, 0)
        puppet.say(wire.Item(stream=1, event=Done()))
        puppet.ready()
        assert await early.batch() == (Done(),)
        await puppet.beaten(0, 0, 0)
        stream = await worker.link.open(generate("x"), lambda: None)
        await puppet.beaten(1, 2, 3)
        puppet.say(*[item(2, "x")] * wire.WINDOW)
        while not stream.starved:
            await asyncio.sleep(0)
        await puppet.beaten(3, 3, 3)


async def test_stall_takes_its_time(tmp_path: Path):
    """Standing still for less than `stall` seconds is no stall, and the wait begins again with each progress."""
    async with played(tmp_path, stall=60.0) as (worker, puppet):
        puppet.ready()
        await worker.link.open(generate("x"), lambda: None)
        await puppet.beaten(1)
        later(59.0)
        await puppet.beaten(1, 2)
        later(59.0)
        await puppet.beaten(2)
        later(1.0)
        puppet.beat(2)
        assert (await puppet.end()).code == "engine_stalled"


async def test_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A loaded worker without heartbeats is ended; before the load silence is allowed."""
    monkeypatch.setattr(wire, "BEAT", 0.01)
    async with played(tmp_path, silence=0.05) as (_, puppet):
        await asyncio.sleep(0.1)
        assert not puppet.calls
        began = asyncio.get_running_loop().time()
        puppet.ready()
        ended = await puppet.end()
        assert (ended.code, ended.final) == ("engine_stalled", False)
        assert "sign of life" in ended.message
        assert asyncio.get_running_loop().time() - began >= 0.05


@pytest.mark.parametrize(("silence", "stall"), [(0.0, 1000.0), (1000.0, 0.0)])
async def test_silence_has_bounds(tmp_path: Path, silence: float, stall: float):
    """Three heartbeats may always be missed, and no more than the patience for a stall allows."""
    async with played(tmp_path, silence=silence, stall=stall) as (_, puppet):
        puppet.ready()
        await puppet.until("loaded 1")
        for _ in range(3):
            later(wire.BEAT)
            await asyncio.sleep(0.01)
        assert puppet.calls == ["loaded 1"]
        later(wire.BEAT)
        assert (await puppet.end()).code == "engine_stalled"


async def test_delays_of_the_gateway_are_no_silence(tmp_path: Path):
    """Heartbeats that the gateway itself was too busy to read do not count as missed."""
    async with played(tmp_path, silence=5.0) as (_, puppet):
        puppet.ready()
        for _ in range(10):
            later(60.0)
            await puppet.beaten(0)
