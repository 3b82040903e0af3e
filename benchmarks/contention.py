"""What a stream keeps of its speed when something else wants a core, too.

llama.cpp's threads meet at a barrier after every operation. By default libgomp lets those that arrive first spin, so
that with one more busy process than there are cores each meeting may cost a scheduling round. Our worker lets them
spin briefly and then sleep (`engines/llama/params.py`).
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.client import together
from benchmarks.servers import Running


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """A process that wants one core all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def pair(first: Running, second: Running) -> float:
    """Tokens per second in all of two answers at once, one from each of two models (or of two servers)."""

    async def ask() -> float:
        asked = {"temperature": 0, "max_tokens": 96, "ignore_eos": True}
        async with first.client() as one, second.client() as other:
            await asyncio.gather(one.whole("Hello", max_tokens=1), other.whole("Hello", max_tokens=1))
            began = time.monotonic()
            heard = await asyncio.gather(one.stream("Count to ten.", **asked), other.stream("Count to ten.", **asked))
        return sum(each.completion for each in heard) / (time.monotonic() - began)

    return asyncio.run(ask())


def throughput(server: Running) -> float:
    """Tokens per second of one answer beside a busy process."""

    async def ask() -> float:
        async with server.client() as client:
            await client.whole("Hello", max_tokens=1)
            _, rate = await together(client, ["Count to ten."], temperature=0, max_tokens=32, ignore_eos=True)
        return rate

    with busy():
        return asyncio.run(ask())
