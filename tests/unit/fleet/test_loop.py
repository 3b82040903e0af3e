"""The one owner of the fleet's state: what happens is decided, and what is decided is done."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from fleets import generate, model
from localai import wire
from localai.core.errors import Conflict, LocalAIError
from localai.fleet.state import Gone, Ready
from localai.fleet.ticket import Ticket
from puppet import later
from staging import staged


async def refusal(waiting: Ticket) -> str:
    with pytest.raises(LocalAIError) as raised:
        await asyncio.wait_for(waiting.wait(), 10)
    return raised.value.code


async def test_load_and_grant(tmp_path: Path):
    """A request starts a process, is told that it loads, waits in the metrics, and is granted what answers."""
    async with staged(tmp_path) as play:
        ticket = play.ask()
        assert await anext(ticket.stages()) == "loading"
        assert play.counted("queue_depth") == 1
        worker = play.entry().worker
        assert worker is not None
        play.puppets[0].ready(memory=5, slots=2)
        assert await asyncio.wait_for(ticket.wait(), 10) is worker
        state = play.state()
        assert isinstance(state, Ready)
        assert (state.slots, state.running) == (2, {ticket.request})
        assert play.entry().loaded_at is not None
        assert play.counted("queue_depth") == 0
        assert play.counted("loads_total", outcome="ok") == 1
        assert play.counted("model_memory_bytes") == 5
        assert play.counted("queue_wait_seconds_count") == 1


async def test_who_waits_for_memory_is_queued(tmp_path: Path):
    """A request is told that it loads only when its process has been started."""
    async with staged(tmp_path) as play:
        await play.loaded()
        waiting = play.ask("b")
        assert await anext(waiting.stages()) == "queued"
        assert play.entry("b").worker is None


async def test_no_process(tmp_path: Path):
    """When the system starts no process, who waits hears of it after all attempts, each at its time."""
    async with staged(tmp_path, ("/no/such/program",), attempts=2, backoff=60.0) as play:
        ticket = play.ask()
        assert len(play.puppets) == 1
        later(61.0)
        assert await refusal(ticket) == "model_load_failed"
        assert len(play.puppets) == 2
        assert play.entry().last_error == "no process could be started (FileNotFoundError)"
        assert play.counted("refusals_total", code="model_load_failed") == 1
        assert not play.loop.tickets


async def test_grant_of_one_that_left(tmp_path: Path):
    """A slot that is granted to a request which has left goes to the next in the same turn."""
    async with staged(tmp_path) as play:
        play.ask(left=True)
        second = play.ask()
        play.puppets[0].ready()
        await asyncio.wait_for(second.wait(), 10)
        state = play.state()
        assert isinstance(state, Ready)
        assert state.running == {second.request}


async def test_ended(tmp_path: Path):
    """A ticket that is closed is forgotten, and its slot is free."""
    async with staged(tmp_path) as play:
        ticket = await play.loaded()
        play.loop.changed.clear()
        ticket.close()
        assert not play.loop.tickets
        assert play.loop.changed.is_set()
        state = play.state()
        assert isinstance(state, Ready)
        assert not state.busy


async def test_stream_end_frees_the_slot(tmp_path: Path):
    """The death of a worker ends its streams before it is decided who is next: nobody is granted a dead worker."""
    async with staged(tmp_path) as play:
        ticket = await play.loaded()
        await ticket.open(generate("x"), 60.0)
        waiting = play.ask()
        assert waiting.worker is None
        first = play.entry().worker
        os.kill(play.loop.roster.pids()[0], signal.SIGKILL)
        await play.until(lambda: len(play.puppets) == 2)
        play.puppets[1].ready()
        assert await asyncio.wait_for(waiting.wait(), 10) is not first


async def test_eviction(tmp_path: Path):
    """An idle model that must go is told to, counted, and when its process is gone the other one starts."""
    async with staged(tmp_path) as play:
        (await play.loaded()).close()
        later(1000.0)
        play.ask("b")
        assert await play.puppets[0].hear() == wire.Load(model=model(), sizing=play.entry().sizing)
        assert await play.puppets[0].hear() == wire.Shutdown()
        assert play.counted("evictions_total") == 1
        await play.until(lambda: len(play.puppets) == 2)
        assert play.entry().worker is None
        assert play.counted("model_loaded") == 0
        assert play.entry().crashes == 0


async def test_keep_alive(tmp_path: Path):
    """The alarm rings when the keep-alive is over, though a later one had been set before; that is no eviction."""
    async with staged(tmp_path) as play:
        (await play.loaded(keep_alive=60.0)).close()
        later(59.0)
        await asyncio.sleep(0.01)
        assert isinstance(play.state(), Ready)
        later(1.0)
        await play.until(lambda: play.entry().worker is None)
        assert play.counted("evictions_total") is None


async def test_no_alarm_after_the_close(tmp_path: Path):
    """A closed loop hears no alarm any more."""
    async with staged(tmp_path) as play:
        (await play.loaded(keep_alive=60.0)).close()
        play.loop.close()
        later(61.0)
        await asyncio.sleep(0.01)
        assert isinstance(play.state(), Ready)


async def test_unload(tmp_path: Path):
    """An unload is confirmed when the process is gone, and refused when the model is busy beyond its deadline."""
    async with staged(tmp_path) as play:
        ticket = await play.loaded()
        with pytest.raises(Conflict):
            await asyncio.wait_for(play.unload(0.0), 10)
        ticket.close()
        await asyncio.wait_for(play.unload(play.loop.now() + 60.0), 10)
        assert play.entry().worker is None
        assert not play.loop.unloads


async def test_memory_grows(tmp_path: Path):
    """A worker that says it holds more than it was promised is promised that; less changes nothing."""
    async with staged(tmp_path) as play:
        await play.loaded()
        play.puppets[0].beat(memory=8)
        play.puppets[0].beat(memory=7)
        await play.until(lambda: play.counted("model_memory_bytes") == 8)
        while (worker := play.entry().worker) is None or worker.memory != 7:
            await asyncio.sleep(0)
        state = play.state()
        assert isinstance(state, Ready)
        assert state.need == 8
        assert play.counted("model_memory_bytes") == 8


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("echo one; echo two >&2; kill -SEGV $$", "SIGSEGV: two"),
        ("exit 3", "exit 3"),
        ("printf '%01000d' 0; exit 3", "exit 3: " + "0" * 300),
    ],
)
async def test_crash(tmp_path: Path, program: str, error: str):
    """A crash is counted and remembered by its cause and the last line that was printed, or the beginning of it."""
    async with staged(tmp_path, ("sh", "-c", program), attempts=1) as play:
        assert await refusal(play.ask()) == "model_load_failed"
        assert (play.entry().crashes, play.entry().last_error) == (1, error)
        assert play.counted("crashes_total", signal=error.partition(":")[0]) == 1
        assert play.counted("loads_total", outcome="engine_crashed") == 1
        assert play.entry().worker is None


async def test_unable(tmp_path: Path):
    """A load that fails in words is no crash: who waits and the operator get those words."""
    async with staged(tmp_path) as play:
        ticket = play.ask()
        play.puppets[0].say(wire.Unable(code="invalid_model", message="It is broken."))
        assert await refusal(ticket) == "invalid_model"
        assert (play.entry().crashes, play.entry().last_error) == (0, "It is broken.")
        assert play.counted("loads_total", outcome="invalid_model") == 1
        assert play.counted("crashes_total", signal="SIGKILL") is None


async def test_crash_after_the_load(tmp_path: Path):
    """A crash of a loaded model is no failed load."""
    async with staged(tmp_path) as play:
        (await play.loaded()).close()
        os.kill(play.loop.roster.pids()[0], signal.SIGKILL)
        await play.until(lambda: play.entry().worker is None)
        assert play.entry().crashes == 1
        assert play.counted("loads_total", outcome="engine_crashed") is None


async def test_gone_before_the_load(tmp_path: Path):
    """A request given up while its model loads is forgotten, also by the metrics."""
    async with staged(tmp_path) as play:
        ticket = play.ask()
        ticket.close()
        assert not play.loop.tickets
        assert play.counted("queue_depth") == 0
        play.loop.tell(Gone(key=ticket.key, request=99))
        assert play.entry().worker is not None
