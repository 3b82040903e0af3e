"""The fleet with real processes: waiting, granting, cancelling, unloading and draining."""

import asyncio
import time
from pathlib import Path

import pytest

from fleets import answer, begun, fleet, generate, model, outcome, row, until
from localai.core.errors import Conflict
from localai.core.event import Done, Progress, Text
from localai.core.task import Tokenize
from localai.fleet import process


async def test_slow_reader_is_no_hang(tmp_path: Path):
    """A stream whose reader pauses stops alone: others go on, and the worker is not taken for hung."""
    async with fleet(tmp_path, stall_timeout=0.5) as running:
        asked = model(beat=0.1)
        slow = running.run(asked, generate("say 2000"))
        got = ""
        async for batch in slow:
            got += "".join(event.text for event in batch if isinstance(event, Text))
            if got:
                break
        assert await answer(running, asked, "say 1000") == "".join(f"{number} " for number in range(1000))
        await asyncio.sleep(1.0)
        async for batch in slow:
            got += "".join(event.text for event in batch if isinstance(event, Text))
        assert got == "".join(f"{number} " for number in range(2000))
        assert row(running).crashes == 0


async def test_herd(tmp_path: Path):
    """Two hundred simultaneous requests for a cold model make one load and are all served."""
    starts = 0

    def counted(descriptor: int):
        nonlocal starts
        starts += 1
        return process.worker(descriptor)

    async with fleet(tmp_path, command=counted) as running:
        answers = await asyncio.gather(*(answer(running, model(), f"text {number}") for number in range(200)))
        assert answers == [f"text {number}" for number in range(200)]
        assert starts == 1


async def test_unload_races_requests(tmp_path: Path):
    """Requests that race unloads and a keep-alive of zero are all served."""
    async with fleet(tmp_path) as running:
        asked = model(keep_alive=0)
        for _ in range(15):
            answers, _ = await asyncio.gather(
                asyncio.gather(*(answer(running, asked, "say 3") for _ in range(3))), running.unload("a")
            )
            assert answers == ["0 1 2 "] * 3


async def test_drain(tmp_path: Path):
    """A stop refuses who comes, lets running answers finish until the deadline and fails the others."""
    async with fleet(tmp_path) as running:
        quick = [(await begun(running, model(), "say 30 0.01"))[1] for _ in range(2)]
        slow = [(await begun(running, model(), "say 100000 0.01"))[1] for _ in range(2)]
        began = time.monotonic()
        stopping = asyncio.create_task(running.stop(1.5))
        await asyncio.sleep(0)
        assert await outcome(running, model(), "say 1") == "server_shutting_down"
        assert await asyncio.gather(*quick) == ["ok", "ok"]
        assert await asyncio.gather(*slow) == ["server_shutting_down"] * 2
        await stopping
        assert time.monotonic() - began < 1.5 + 2.0


TEXT = "häß 𝄞 \u202e\u0000 \ud7ff\n\ndata: [DONE]\r\n\r\n" + "€" * 1000


async def test_text_passes_intact(tmp_path: Path):
    """Multi-byte characters, NUL, newlines, SSE look-alikes and a megabyte in one piece arrive as they were sent."""
    async with fleet(tmp_path) as running:
        assert await answer(running, model(), f"text {TEXT}") == TEXT
        assert await answer(running, model(), "text " + "é" * 2**20) == "é" * 2**20


async def test_cancel_while_running(tmp_path: Path):
    """A reader that leaves cancels the request in the worker, and the slot is free when the worker says so."""
    async with fleet(tmp_path) as running:
        asked = model(slots=1)
        stream = running.run(asked, generate("say 100000 0.01"))
        async for batch in stream:
            if isinstance(batch[0], Text):
                break
        await stream.aclose()
        assert row(running).busy == 1
        await until(lambda: row(running).busy == 0, 1.0)
        assert await answer(running, asked, "say 1") == "0 "


async def test_slot_of_a_deaf_stream(tmp_path: Path):
    """A cancelled request that its worker does not end keeps its slot, and the next one waits for it."""
    async with fleet(tmp_path) as running:
        asked = model(slots=1)
        deaf = asyncio.create_task(answer(running, asked, "deaf 0.5"))
        await until(lambda: any(each.busy for each in running.snapshot().models))
        deaf.cancel()
        began = time.monotonic()
        assert await answer(running, asked, "say 1") == "0 "
        assert time.monotonic() - began > 0.2


async def test_cancel_while_queued_and_loading(tmp_path: Path):
    """Requests that leave while they wait take nothing with them."""
    async with fleet(tmp_path) as running:
        asked = model(slots=1, load=0.3)
        loading = [asyncio.create_task(answer(running, asked, "say 1")) for _ in range(3)]
        await until(lambda: any(each.queued == 3 for each in running.snapshot().models))
        loading[0].cancel()
        assert await loading[1] == "0 "
        _, holder = await begun(running, asked, "say 50 0.01")
        queued = [asyncio.create_task(answer(running, asked, "say 1")) for _ in range(3)]
        await until(lambda: row(running).queued == 3)
        queued[1].cancel()
        assert await holder == "ok"
        results = await asyncio.gather(*queued, *loading, return_exceptions=True)
        assert [result for result in results if result == "0 "] == ["0 "] * 4
        assert (row(running).busy, row(running).queued) == (0, 0)


async def test_progress_of_the_wait(tmp_path: Path):
    """A request that waits is told first that its model loads, or that it is queued."""
    async with fleet(tmp_path) as running:
        asked = model(slots=1, load=0.1)
        first = [batch async for batch in running.run(asked, generate("say 1"))]
        assert first[0] == (Progress(stage="loading"),)
        assert isinstance(first[-1][-1], Done)
        _, holder = await begun(running, asked, "say 30 0.01")
        second = [batch async for batch in running.run(asked, generate("say 1"))]
        assert second[0] == (Progress(stage="queued"),)
        assert await holder == "ok"


async def test_eviction(tmp_path: Path):
    """With room for one, the idle model goes for the one that is asked for."""
    async with fleet(tmp_path, memory=60 * 2**20) as running:
        for name in ("a", "b", "a"):
            assert await answer(running, model(name), "say 1") == "0 "
            assert [each.name for each in running.snapshot().models if each.state == "ready"] == [name]


async def test_real_memory_counts(tmp_path: Path):
    """What a worker really takes replaces a smaller estimate, and both are shown."""
    async with fleet(tmp_path) as running:
        await running.load(model(memory=2**30))
        shown = running.snapshot()
        assert (shown.memory.reserved, shown.memory.used) == (2**30, 2**30)
        assert shown.models[0].memory == 2**30 > shown.models[0].estimated


async def test_request_timeout(tmp_path: Path):
    """An answer that takes longer than allowed ends with an error, and is cancelled."""
    async with fleet(tmp_path, request_timeout=0.3) as running:
        assert await outcome(running, model(), "say 100000 0.01") == "generation_timeout"
        await until(lambda: row(running).busy == 0)


async def test_unload_of_a_busy_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An unload waits for running answers, and says so when they take too long."""
    async with fleet(tmp_path) as running:
        _, task = await begun(running, model(), "say 30 0.01")
        await running.unload("a")
        assert await task == "ok"
        assert not running.snapshot().models
        monkeypatch.setattr("localai.fleet.fleet._UNLOAD", 0.1)
        _, task = await begun(running, model(), "say 100 0.01")
        with pytest.raises(Conflict):
            await running.unload("a")
        assert await task == "ok"


async def test_real_worker(tmp_path: Path):
    """The real worker with the echo engine answers, keeps its model for the keep-alive, and unloads by itself."""
    async with fleet(tmp_path, command=process.worker) as running:
        asked = model(keep_alive=0.2)
        loaded = await running.load(asked)
        assert "chat" in loaded.tasks
        assert row(running).expires_at
        assert await answer(running, asked, TEXT) == TEXT
        light = [event async for batch in running.run(asked, Tokenize(text="a b")) for event in batch]
        assert isinstance(light[-1], Done)
        await until(lambda: not running.snapshot().models)


async def test_changed_model(tmp_path: Path):
    """A model whose file changed is served by a new process; the old one ends when it is idle."""
    async with fleet(tmp_path, command=process.worker) as running:
        assert await answer(running, model(), "x") == "x"
        old = row(running).pid
        assert await answer(running, model(slots=2), "x") == "x"
        await until(lambda: len(running.snapshot().models) == 1)
        assert row(running).pid != old
