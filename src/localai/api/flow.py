"""From the events of a request to its answer: whole, or as the bytes of a stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from localai.api.answer import Answer
from localai.api.merge import Batch, Numbered
from localai.core.errors import InternalError


class Writer(Protocol):
    """Turns the events of all choices into server-sent events."""

    @property
    def done(self) -> bool:
        """Whether every choice has ended."""
        ...

    def feed(self, index: int, batch: Batch) -> bytes:
        """The bytes for a batch of choice `index`; may be empty."""
        ...


async def write(numbered: AsyncGenerator[Numbered, None], writer: Writer) -> AsyncGenerator[bytes, None]:
    """The bytes of the stream, one item for each batch that has something to say.

    Raises:
        InternalError: The engine stopped without ending its answer.
    """
    async with aclosing(numbered):
        async for index, batch in numbered:
            data = writer.feed(index, batch)
            if data:
                yield data
    if not writer.done:
        raise InternalError("The engine stopped without ending its answer.")


async def collect(numbered: AsyncGenerator[Numbered, None], count: int) -> list[Answer]:
    """The whole answers of `count` generations.

    Raises:
        LocalAIError: Any of them failed.
    """
    answers = [Answer() for _ in range(count)]
    async with aclosing(numbered):
        async for index, batch in numbered:
            for event in batch:
                answers[index].hear(event)
    return answers
