"""Several generations of one request as one stream."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from localai.core.event import Event

Batch = tuple[Event, ...]
Numbered = tuple[int, Batch]
"""A batch with the number of the generation it belongs to."""

AT_ONCE = 16
"""Generations of one request that are under way together; the others wait for their turn."""
AHEAD = 64
"""Batches that may wait to be read before their generation is held up."""


def merge(streams: Sequence[AsyncGenerator[Batch, None]]) -> AsyncGenerator[Numbered, None]:
    """Run all generations and give their batches as they come; the first error ends them all.

    Closing the result cancels every generation.
    """
    return _alone(streams[0]) if len(streams) == 1 else _many(streams)


async def _alone(stream: AsyncGenerator[Batch, None]) -> AsyncGenerator[Numbered, None]:
    try:
        async for batch in stream:
            yield 0, batch
    finally:
        await stream.aclose()


async def _many(streams: Sequence[AsyncGenerator[Batch, None]]) -> AsyncGenerator[Numbered, None]:
    read: asyncio.Queue[Numbered | BaseException | None] = asyncio.Queue(AHEAD)
    turns = asyncio.Semaphore(AT_ONCE)
    pumps = [asyncio.create_task(_pump(number, stream, turns, read)) for number, stream in enumerate(streams)]
    running = len(pumps)
    try:
        while running:
            item = await read.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(
    number: int,
    stream: AsyncGenerator[Batch, None],
    turns: asyncio.Semaphore,
    read: "asyncio.Queue[Numbered | BaseException | None]",
) -> None:
    try:
        async with turns:
            async for batch in stream:
                await read.put((number, batch))
        await read.put(None)
    except Exception as error:  # noqa: BLE001  (handed to the reader, who raises it)
        await read.put(error)
    finally:
        await stream.aclose()
