"""What is measured, one function a row of the table. Each gives a line of figures; none asserts anything."""

import asyncio
import dataclasses
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import behind, contention, relay
from benchmarks.client import Client, together
from benchmarks.servers import SMOLLM2, Running, bare, ours

WORDS = ["river", "stone", "garden", "winter", "engine", "paper", "silver", "window"]
WORDS += ["music", "harbour", "letter", "forest", "bridge", "candle", "market", "story"]
LONG = ["international", "development", "environment", "understanding", "communication", "responsibility"]
LONG += ["organization", "information", "particularly", "administration", "transportation", "professional"]
GREEDY = {"temperature": 0, "max_tokens": 48}
MODEL: dict[str, object] = {"engine": "llama", "files": {"model": SMOLLM2.name}, "context": 8192, "slots": 4}
ECHO: dict[str, object] = {
    "engine": "echo",
    "context": 100000,
    "slots": 16,
    "tasks": ["chat", "complete"],
}


@dataclass(frozen=True)
class Row:
    """One measured thing: ours, the baseline, their ratio, and what the design asks."""

    name: str
    ours: str
    baseline: str
    ratio: str
    asked: str


def prose(tokens: int, seed: int) -> str:
    """About `tokens` tokens of words that no other seed has (so that no cache helps)."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(tokens))


def lengthy(letters: int, seed: int) -> str:
    """So many characters, as a coding agent's first prompt has them, in words that are one token each."""
    rng = random.Random(seed)
    return " ".join(rng.choice(LONG) for _ in range(letters // 12))[:letters]


def questions(count: int, seed: int) -> list[str]:
    """Short prompts that differ from one another."""
    return [f"Tell me about this: {prose(20, seed * 1000 + number)}" for number in range(count)]


async def throughput(server: Running, streams: int, seed: int) -> float:
    """Tokens per second of `streams` answers at once."""
    async with server.client() as client:
        await client.whole("Hello", max_tokens=1)
        _, rate = await together(client, questions(streams, seed + 1), **GREEDY, ignore_eos=True)
    return rate


async def gap(server: Running, seed: int) -> tuple[float, float]:
    """Worst silence of a running stream while a prompt of about 4000 tokens arrives, and that prompt's first token."""
    async with server.client() as client:
        await client.whole("Hello", max_tokens=1)
        running = asyncio.create_task(client.stream("Count.", temperature=0, max_tokens=500, ignore_eos=True))
        await asyncio.sleep(0.7)
        long = await client.stream(prose(3700, seed), temperature=0, max_tokens=8, ignore_eos=True)
        heard = await running
    return heard.gap, long.first


async def prefix(server: Running, text: str) -> tuple[float, float, int, int]:
    """Time to first token of a long prompt, cold and again with one more word; cached and all tokens of the second."""
    async with server.client() as client:
        await client.whole("Hello", max_tokens=1)
        cold = await client.stream(text, temperature=0, max_tokens=8, ignore_eos=True)
        warm = await client.stream(text + " more", temperature=0, max_tokens=8, ignore_eos=True)
    return cold.first, warm.first, warm.cached, warm.prompt


async def latency(client: Client, count: int, content: str = "Hi", **fields: object) -> float:
    """Median seconds of `count` short answers that are not streamed, one after another."""
    for _ in range(20):
        await client.whole(content, **fields)
    return statistics.median([await client.whole(content, **fields) for _ in range(count)])


async def cancel(server: Running, seed: int) -> tuple[float, float]:
    """Seconds from leaving to an idle slot: in the middle of an answer, and of a prompt."""
    async with server.client() as client:
        await client.whole("Hello", max_tokens=1)
        found: list[float] = []
        for content, wait in (("Count.", 0.5), (prose(6000, seed), 1.0)):
            task = asyncio.create_task(client.stream(content, max_tokens=2000, ignore_eos=True))
            await asyncio.sleep(wait)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            left = time.monotonic()
            while await _busy(client):
                await asyncio.sleep(0.005)
            found.append(time.monotonic() - left)
    return found[0], found[1]


async def _busy(client: Client) -> int:
    async with client.session.get(f"{client.url}/api/admin/loaded") as answer:
        return sum(row["busy"] for row in (await answer.json())["models"])


async def herd(server: Running, count: int) -> tuple[int, int]:
    """Loads and good answers when `count` requests ask at once for a model that is not loaded."""
    async with server.client() as client:
        answers = await asyncio.gather(
            *(client.whole(f"Hi {number}", max_tokens=1) for number in range(count)), return_exceptions=True
        )
        async with client.session.get(f"{client.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
    loads = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("localai_loads_total"))
    return int(loads), sum(isinstance(one, float) for one in answers)


async def per_event(server: Running, pieces: int, streams: int) -> float:
    """Seconds of CPU of gateway and worker for one streamed event (echo engine: its own work is almost nothing)."""
    async with server.client() as client:
        text = prose(pieces, 1)
        await together(client, [text] * streams)
        before = server.cpu()
        heard, _ = await together(client, [text] * streams)
        spent = server.cpu() - before
    return spent / sum(one.completion for one in heard)


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def rows() -> Iterator[Row]:
    """Run everything, one thing at a time."""
    with bare("--batch", "128", "--ubatch", "128", "--separate") as same, ours({"smollm2": MODEL}) as mine:
        for streams in (1, 4, 8, 16):
            pairs = [
                (asyncio.run(throughput(mine, streams, turn)), asyncio.run(throughput(same, streams, turn)))
                for turn in (2, 4, 6, 8, 10)
            ]
            a, b = statistics.median(x for x, _ in pairs), statistics.median(y for _, y in pairs)
            ratio = statistics.median(x / y for x, y in pairs)
            yield (
                Row(
                    f"throughput, {streams} streams, same settings",
                    f"{a:.0f} tok/s",
                    f"{b:.0f} tok/s",
                    f"{ratio:.2f}x",
                    ">= 0.98 (floor 0.95)",
                )
            )
        yield from _small(mine, same)
    with bare() as default, ours({"smollm2": MODEL}) as mine:
        for streams in (1, 4, 8, 16):
            a, b = asyncio.run(throughput(mine, streams, 8)), asyncio.run(throughput(default, streams, 8))
            yield (
                Row(
                    f"throughput, {streams} streams, llama-server's defaults",
                    f"{a:.0f} tok/s",
                    f"{b:.0f} tok/s",
                    f"{a / b:.2f}x",
                    "-",
                )
            )
        a, b = contention.throughput(mine), contention.throughput(default)
        yield (
            Row("throughput, 1 stream, beside a busy process", f"{a:.0f} tok/s", f"{b:.1f} tok/s", f"{a / b:.1f}x", "-")
        )
        yield from _two()
        (a, first), (b, other) = asyncio.run(gap(mine, 11)), asyncio.run(gap(default, 11))
        yield (
            Row(
                "worst gap of a stream while a 4k prompt arrives",
                seconds(a),
                seconds(b),
                f"{a / b:.2f}x",
                "<= 0.15x (floor 0.3x)",
            )
        )
        yield (Row("first token of that 4k prompt", seconds(first), seconds(other), f"{first / other:.2f}x", "-"))
    yield from _own()


def _two() -> Iterator[Row]:
    with bare() as one, bare() as other, ours({"first": MODEL, "second": MODEL}) as mine:
        second = dataclasses.replace(mine, model="second")
        a, b = contention.pair(mine, second), contention.pair(one, other)
    yield Row(
        "throughput of two models at once, 1 stream each", f"{a:.0f} tok/s", f"{b:.0f} tok/s", f"{a / b:.1f}x", "-"
    )


def _small(mine: Running, same: Running) -> Iterator[Row]:
    async def both() -> tuple[float, float]:
        async with mine.client() as ours_client, same.client() as bare_client:
            pairs = [
                (await latency(ours_client, 60, max_tokens=1), await latency(bare_client, 60, max_tokens=1))
                for _ in range(5)
            ]
        return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)

    a, b = asyncio.run(both())
    added = f"+{seconds(max(a - b, 0))}"
    yield Row("latency added to a whole answer of one token, p50", seconds(a), seconds(b), added, "+1 ms (floor +2 ms)")
    for what, text in (("warm prefix", prose(1500, 21)), ("second turn of a 50 KB prompt", lengthy(50_000, 22))):
        cold, warm, cached, prompt = asyncio.run(prefix(mine, text))
        other_cold, other_warm, _, _ = asyncio.run(prefix(same, text))
        yield Row(
            f"first token, {what} ({cached} of {prompt} cached) against cold",
            f"{seconds(warm)} / {seconds(cold)}",
            f"{seconds(other_warm)} / {seconds(other_cold)}",
            f"{warm / cold:.3f}x",
            "<= 0.05x (floor 0.1x)",
        )


def _own() -> Iterator[Row]:
    with ours({"smollm2": MODEL}) as mine:
        idle = mine.memory() / 2**20
        yield (Row("start to /readyz", seconds(mine.ready), "-", "-", "1 s (floor 2 s)"))
        yield (Row("idle memory of the gateway", f"{idle:.0f} MiB", "-", "-", "80 MiB (floor 150 MiB)"))
        loads, good = asyncio.run(herd(mine, 200))
        yield (
            Row("200 requests at once for a cold model", f"{loads} load, {good} answered", "-", "-", "exactly one load")
        )
        streaming, prefill = asyncio.run(cancel(mine, 31))
        yield (
            Row(
                "cancel to idle slot, in an answer / in a prompt",
                f"{seconds(streaming)} / {seconds(prefill)}",
                "-",
                "-",
                "0.3 s (floor 1 s)",
            )
        )
    with ours({"smollm2": MODEL}) as mine:
        calm, calm_tail, during, during_tail, done = asyncio.run(behind.measure(mine))
        yield Row(
            f"first token, p50 / p95, beside a batch ({done} lines done meanwhile; baseline: without it)",
            f"{seconds(during)} / {seconds(during_tail)}",
            f"{seconds(calm)} / {seconds(calm_tail)}",
            f"{during / calm:.2f}x / {during_tail / calm_tail:.2f}x",
            "p95 <= 1.3x",
        )
    yield from _echo()


def _echo() -> Iterator[Row]:
    # A pause between two pieces, so that each travels alone, as from a real model.
    with ours({"paced": {**ECHO, "options": {"delay": 0.003}}}) as mine:
        for streams in (1, 8):
            pairs = [(asyncio.run(per_event(mine, 1000, streams)), relay.measure(streams, 1000)) for _ in range(3)]
            a, b = statistics.median(x for x, _ in pairs), statistics.median(y for _, y in pairs)
            what = f"CPU per streamed event, {streams} streams, each alone (echo engine; baseline: a bare relay)"
            yield Row(what, seconds(a), seconds(b), f"{a / b:.1f}x", "60 µs (floor 120 µs)")
    with ours({"echo": ECHO}) as mine:

        async def alone() -> float:
            async with mine.client(keep=True) as client:
                return await latency(client, 300)

        trip = seconds(asyncio.run(alone()))
        yield (Row("whole round trip of an empty engine, p50", trip, "-", "-", "1 ms (floor 2 ms)"))
