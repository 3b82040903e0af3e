"""What a stream keeps of its speed when something else wants a core, too.

llama.cpp's threads meet at a barrier after every operation. By default libgomp lets those that arrive first spin, so
that with one more busy process than there are cores each meeting may cost a scheduling round. Our worker lets them
spin briefly and then sleep (`engines/llama/params.py`).
"""

import asyncio
import contextlib
import subprocess
import sys
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


def throughput(server: Running) -> float:
    """Tokens per second of one answer beside a busy process."""

    async def ask() -> float:
        async with server.client() as client:
            await client.whole("Hello", max_tokens=1)
            _, rate = await together(client, ["Count to ten."], temperature=0, max_tokens=32, ignore_eos=True)
        return rate

    with busy():
        return asyncio.run(ask())
