"""Journals: frames that are read while they are written."""

import asyncio

import pytest

from localai.core.errors import InvalidRequest
from localai.service.journal import Journal


async def read_all(journal, after=-1):
    return b"".join([piece async for piece in journal.follow(after)])


async def test_a_journal_is_read_from_any_number_on():
    """A reader gets the frames behind the number it names, and an empty rest when it has all."""
    journal = Journal()
    journal.add([b"a", b"b", b"c"])
    journal.close()
    assert [await read_all(journal, after) for after in (-1, 0, 1, 2, 9)] == [b"abc", b"bc", b"c", b"", b""]


async def test_readers_get_what_is_written_while_they_read():
    """Any number of readers get every frame once and in order, and end when the journal is closed."""
    journal = Journal()
    readers = [asyncio.create_task(read_all(journal)) for _ in range(3)]
    late = asyncio.create_task(read_all(journal, 1))
    for number in range(50):
        journal.add([b"%d," % number])
        if number % 7 == 0:
            await asyncio.sleep(0)
    journal.close()
    whole = b"".join(b"%d," % number for number in range(50))
    assert await asyncio.gather(*readers) == [whole] * 3
    assert await late == whole[4:]


async def test_a_journal_has_a_size_and_says_when_the_beginning_is_gone():
    """The oldest frames go when there are too many bytes; who asks for them is told from where on there are some."""
    journal = Journal(limit=10)
    journal.add([b"aaaa", b"bbbb", b"cccc"])
    journal.close()
    assert journal.size == 8
    with pytest.raises(InvalidRequest, match="before number 1") as caught:
        await read_all(journal)
    assert caught.value.param == "starting_after"
    assert await read_all(journal, 0) == b"bbbbcccc"
    journal.add([b"d" * 100])
    assert journal.size == 100
