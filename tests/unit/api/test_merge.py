"""Several generations as one stream."""

import asyncio

import pytest

from localai.api.flow import collect, write
from localai.api.merge import AT_ONCE, merge
from localai.core.errors import EngineCrashed, InternalError
from localai.core.event import Done, Progress, Text


class Source:
    """A generation that gives batches when told to and notes that it was closed."""

    def __init__(self, *items):
        self.items = list(items)
        self.go = asyncio.Event()
        self.closed = False

    async def stream(self):
        try:
            for item in self.items:
                if item is None:
                    await self.go.wait()
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield (item,)
        finally:
            self.closed = True


TEXT, DONE = Text(text="a"), Done()


@pytest.mark.parametrize("count", [1, 3, AT_ONCE + 5])
async def test_every_batch_arrives_with_its_number(count):
    """All generations are heard to their end, each under its own number, however many there are."""
    sources = [Source(TEXT, DONE) for _ in range(count)]
    found = [item async for item in merge([source.stream() for source in sources])]
    for number in range(count):
        assert [batch for index, batch in found if index == number] == [(TEXT,), (DONE,)]
    assert all(source.closed for source in sources)


async def test_the_first_error_ends_them_all():
    """An error in one generation is raised and cancels the others."""
    sources = [Source(TEXT, None, DONE), Source(EngineCrashed())]
    with pytest.raises(EngineCrashed):
        async for _ in merge([source.stream() for source in sources]):
            pass
    assert all(source.closed for source in sources)


@pytest.mark.parametrize("count", [1, 2])
async def test_closing_cancels_every_generation(count):
    """Leaving closes what is under way, also what waits inside an engine."""
    sources = [Source(TEXT, None) for _ in range(count)]
    merged = merge([source.stream() for source in sources])
    await anext(merged)
    await merged.aclose()
    assert all(source.closed for source in sources)


async def test_leaving_while_it_waits_cancels_the_generation():
    """A reader that is cancelled while nothing comes closes the generation."""
    source = Source(TEXT, None)
    stream = write(merge([source.stream()]), Counting(done=False))
    await anext(stream)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert source.closed


async def test_whole_answers_are_collected():
    """Events of many generations become as many answers."""
    answers = await collect(merge([Source(TEXT, TEXT, DONE).stream(), Source(DONE).stream()]), 2)
    assert [answer.text for answer in answers] == ["aa", ""]


class Counting:
    """A writer that ends when told to."""

    def __init__(self, *, done):
        self.done = done

    def feed(self, index, batch):
        return b"" if isinstance(batch[0], Progress) else b"%d" % index


async def test_a_batch_that_says_nothing_writes_nothing():
    """Every batch with something to say is one item of bytes, the others none."""
    source = Source(Progress(stage="prefill"), TEXT, DONE)
    assert [data async for data in write(merge([source.stream()]), Counting(done=True))] == [b"0", b"0"]


async def test_a_stream_that_does_not_end_is_an_error():
    """A generation that stops without its end becomes an error, never a finished answer."""
    with pytest.raises(InternalError):
        async for _ in write(merge([Source(TEXT).stream()]), Counting(done=False)):
            pass
