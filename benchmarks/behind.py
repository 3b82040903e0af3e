"""What a batch in the background costs those who wait for an answer now."""

import asyncio
import json
import random
import statistics

import aiohttp

from benchmarks.client import Client
from benchmarks.servers import Running

LINES = 400
SAMPLES = 60
WORDS = ("river", "stone", "garden", "winter", "paper", "silver", "music", "letter")


def _prompt(seed: str) -> str:
    """About 190 tokens that no other prompt has."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(180))


async def _begin(client: Client) -> str:
    """Start a batch of chat requests; its id."""
    lines = [
        json.dumps(
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": client.model,
                    "messages": [{"role": "user", "content": _prompt(f"line {number}")}],
                    "max_tokens": 64,
                },
            }
        )
        for number in range(LINES)
    ]
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", "\n".join(lines).encode(), filename="lines.jsonl")
    async with client.session.post(f"{client.url}/v1/files", data=form) as answer:
        file = (await answer.json())["id"]
    asked = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    async with client.session.post(f"{client.url}/v1/batches", json=asked) as answer:
        return (await answer.json())["id"]


async def _live(client: Client, name: str) -> list[float]:
    """Seconds to the first token of live requests, a short pause between two."""
    times: list[float] = []
    for number in range(SAMPLES):
        heard = await client.stream(_prompt(f"{name} {number}"), temperature=0, max_tokens=8)
        times.append(heard.first)
        await asyncio.sleep(0.2)
    return times


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


async def measure(server: Running) -> tuple[float, float, float, float, int]:
    """Median and 95th percentile without and during a batch, and the lines it did meanwhile."""
    async with server.client(keep=True) as client:
        await client.whole("Hello", max_tokens=1)
        idle = await _live(client, "idle")
        batch = await _begin(client)
        await asyncio.sleep(5)
        during = await _live(client, "during")
        async with client.session.post(f"{client.url}/v1/batches/{batch}/cancel") as answer:
            done = (await answer.json())["request_counts"]["completed"]
    return statistics.median(idle), _p95(idle), statistics.median(during), _p95(during), done
