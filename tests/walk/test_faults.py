"""What the fleet does when its processes crash, hang, flood, fork and are killed."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from fleets import alive, answer, begun, children, descriptors, fleet, generate, model, outcome, row, until
from localai.core.errors import InvalidModel, LocalAIError, ModelLoadFailed
from localai.fleet import process
from localai.fleet.state import Limits
from localai.fleet.worker import Patience

FREE = Limits(burst=10_000, backoff=0.01)
"""Limits that let a model crash as often as a test likes."""


async def test_killed_worker(tmp_path: Path):
    """When a worker is killed, each of its streams ends with engine_crashed within a second; others hear nothing."""
    async with fleet(tmp_path) as running:
        a, b = model("a", slots=32), model("b", slots=8)
        on_a = [(await begun(running, a, "say 100000 0.01"))[1] for _ in range(32)]
        on_b = [(await begun(running, b, "say 100 0.01"))[1] for _ in range(8)]
        os.kill(row(running).pid or 0, signal.SIGKILL)
        killed = time.monotonic()
        assert await asyncio.gather(*on_a) == ["engine_crashed"] * 32
        assert time.monotonic() - killed < 1.0
        assert await answer(running, a, "say 2") == "0 1 "
        assert await asyncio.gather(*on_b) == ["ok"] * 8
        assert (row(running).crashes, row(running).last_error.split(":")[0]) == (1, "SIGKILL")
        assert row(running, "b").crashes == 0


@pytest.mark.slow
async def test_many_crashes(tmp_path: Path):
    """After thirty crashes in a row there are as many descriptors and processes as after the first."""
    async with fleet(tmp_path, limits=FREE) as running:
        assert await outcome(running, model(), "die kill") == "engine_crashed"
        assert await answer(running, model(), "say 1") == "0 "
        before = descriptors(), len(children())
        for _ in range(30):
            assert await outcome(running, model(), "die segv") == "engine_crashed"
        assert await answer(running, model(), "say 1") == "0 "
        assert (descriptors(), len(children())) == before
        assert row(running).crashes == 31


@pytest.mark.parametrize(
    ("how", "cause"), [("segv", "SIGSEGV"), ("abort", "SIGABRT"), ("exit0", "exit 0"), ("exit137", "exit 137")]
)
async def test_crash_while_loading(tmp_path: Path, how: str, cause: str):
    """A worker that dies while it loads is tried three times; then who waits hears why, without a timeout."""
    async with fleet(tmp_path, limits=Limits(backoff=0.01)) as running:
        with pytest.raises(ModelLoadFailed, match=cause):
            await answer(running, model(start=how, print=100_000), "say 1")
        assert row(running).state == "resting"
        assert row(running).crashes == 3
        assert row(running).last_error == f"{cause}: dying by {how}"
        refused = time.monotonic()
        assert await outcome(running, model(start=how, print=100_000), "say 1") == "model_unavailable"
        assert time.monotonic() - refused < 0.05 * 4


@pytest.mark.parametrize("how", ["segv", "abort", "exit0", "exit137"])
async def test_crash_in_a_request(tmp_path: Path, how: str):
    """However a worker dies in a request, even with status 0, the request fails with engine_crashed."""
    async with fleet(tmp_path) as running:
        assert await outcome(running, model(), f"die {how}") == "engine_crashed"


async def test_model_that_cannot_load(tmp_path: Path):
    """A worker that says its model is broken is not tried again, and all who wait get its message."""
    async with fleet(tmp_path) as running:
        broken = model(start="unable")
        asked = [asyncio.create_task(answer(running, broken, "say 1")) for _ in range(5)]
        for task in asked:
            with pytest.raises(InvalidModel, match="This model is broken"):
                await task
        assert row(running).last_error == "This model is broken."
        assert row(running).crashes == 0


async def test_load_timeout(tmp_path: Path):
    """A model that does not load in time is killed and its waiters are told."""
    async with fleet(tmp_path, load_timeout=0.5) as running:
        with pytest.raises(ModelLoadFailed, match=r"did not load within 0\.5 seconds"):
            await answer(running, model(start="hang"), "say 1")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "hang", "half"])
async def test_hung_worker(tmp_path: Path, how: str):
    """A worker that stands still is killed at the stall deadline, and other models do not notice."""
    async with fleet(tmp_path, stall_timeout=1.0) as running:
        _, other = await begun(running, model("b"), "say 300 0.01")
        began = time.monotonic()
        _, hung = await begun(running, model(beat=0.2), f"{how}") if how == "half" else ("", None)
        code = await hung if hung else await outcome(running, model(beat=0.2), how)
        assert code == "engine_stalled"
        assert time.monotonic() - began < 6.0
        assert await other == "ok"
        asked = time.monotonic()
        running.snapshot()
        assert time.monotonic() - asked < 0.2
        assert await answer(running, model(beat=0.2), "say 1") == "0 "


async def test_crash_loop(tmp_path: Path):
    """A crash-looping model that is polled is started at most five times; refusals come at once, with retry_after."""
    starts = 0

    def counted(descriptor: int):
        nonlocal starts
        starts += 1
        from fleets import misbehaving

        return misbehaving(descriptor)

    async with fleet(tmp_path, command=counted) as running:
        codes: list[str] = []
        for _ in range(30):
            codes.append(await outcome(running, model(), "die kill"))
            await asyncio.sleep(0.01)
        assert starts == 5
        assert codes == ["engine_crashed"] * 5 + ["model_unavailable"] * 25
        with pytest.raises(LocalAIError) as refused:
            await answer(running, model(), "say 1")
        assert 0 < (refused.value.retry_after or 0) <= 60
        assert running.snapshot().memory.reserved == 0


async def test_breaker_closes(tmp_path: Path):
    """A model that rested is tried again and serves."""
    async with fleet(tmp_path, limits=Limits(burst=2, rest=1.0)) as running:
        for _ in range(2):
            assert await outcome(running, model(), "die kill") == "engine_crashed"
        assert await outcome(running, model(), "say 1") in ("model_unavailable", "ok")
        await until(lambda: not running.snapshot().models)
        assert await outcome(running, model(), "say 1") == "ok"


async def test_family_of_a_deaf_worker(tmp_path: Path):
    """A worker that ignores every request to end, and what it forked into other sessions, is killed at the deadline."""
    async with fleet(tmp_path, patience=Patience(goodbye=0.2)) as running:
        pids = [int(pid) for pid in (await answer(running, model(deaf=1), "family")).split()]
        pids.append(row(running).pid or 0)
        assert all(alive(pid) for pid in pids)
        await running.unload("a")
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


_GATEWAY = """
import asyncio, pathlib, sys
sys.path.insert(0, sys.argv[2])
from fleets import begun, fleet, model, answer
async def main():
    async with fleet(pathlib.Path(sys.argv[1])) as running:
        pids = [int(pid) for pid in (await answer(running, model("m0"), "family")).split()]
        for number in range(4):
            await begun(running, model(f"m{number}"), "say 100000 0.01")
        print(*pids, *(row.pid for row in running.snapshot().models), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_killed_gateway(tmp_path: Path):
    """When the gateway is killed all workers are gone within two seconds, and the next start sweeps the rest."""
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _GATEWAY, str(tmp_path), str(Path(__file__).parents[1]), stdout=asyncio.subprocess.PIPE
    )
    assert gateway.stdout
    *orphans, m0, m1, m2, m3 = map(int, (await gateway.stdout.readline()).split())
    gateway.kill()
    await gateway.wait()
    await until(lambda: not any(alive(pid) for pid in (m0, m1, m2, m3)), 2.0)
    assert all(alive(pid) for pid in orphans)
    async with fleet(tmp_path) as running:
        assert not any(alive(pid) for pid in orphans)
        assert await answer(running, model("m0"), "say 1") == "0 "


async def test_sweep_spares_a_living_server(tmp_path: Path):
    """The sweep at a server's start leaves the workers of another living server alone."""
    async with fleet(tmp_path) as running:
        assert await answer(running, model(), "say 1") == "0 "
        assert process.sweep(tmp_path / "run") == 0
        assert await answer(running, model(), "say 1") == "0 "
        assert row(running).crashes == 0


async def _drink(stream, pause: float) -> None:
    async for _ in stream:
        await asyncio.sleep(pause)


@pytest.mark.parametrize("how", ["flood", "garbage"])
async def test_worker_that_breaks_the_rules(tmp_path: Path, how: str):
    """A worker that sends more than it may, or nonsense, is cut off; the gateway goes on."""
    async with fleet(tmp_path) as running:
        slow = running.run(model(), generate(how))
        with pytest.raises(LocalAIError, match="makes no sense"):
            await _drink(slow, pause=0.2)
        assert await answer(running, model(), "say 1") == "0 "


def test_other_event_loop(tmp_path: Path):
    """All of it works on uvloop too."""
    import uvloop

    async def main() -> None:
        async with fleet(tmp_path, limits=FREE) as running:
            tasks = [(await begun(running, model(), "say 100000 0.01"))[1] for _ in range(4)]
            os.kill(row(running).pid or 0, signal.SIGKILL)
            assert [await task for task in tasks] == ["engine_crashed"] * 4
            assert await answer(running, model(), "say 3") == "0 1 2 "
            with contextlib.suppress(LocalAIError):
                await answer(running, model(), "die segv")

    uvloop.run(main())
