"""Texts to vectors by an embedding model, whatever their length."""

import array
import math
import sys
from collections.abc import Sequence

from localai.core.caller import Caller
from localai.core.errors import ContextLengthExceeded, InternalError
from localai.core.event import Vector
from localai.core.task import Embed
from localai.service.perform import Perform

BATCH = 16
"""Texts of one request."""
SHORTEST = 64
"""Characters of a text that is not cut any further."""


class Embedder:
    """Makes vectors of unit length, as little-endian float32.

    A text that does not fit into the model is embedded in halves (and their halves), and the mean of their vectors,
    each weighted by the length of its text, stands for it.
    """

    def __init__(self, perform: Perform, *, background: bool = False) -> None:
        """Take the path to the models; with `background` its requests give way to all others."""
        self._perform = perform
        self._background = background

    async def vectors(self, caller: Caller, model: str, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text, in their order.

        Raises:
            LocalAIError: Whatever the model ends with.
        """
        found: list[bytes] = []
        for first in range(0, len(texts), BATCH):
            found += await self._some(caller, model, texts[first : first + BATCH])
        return found

    async def _some(self, caller: Caller, model: str, texts: Sequence[str]) -> list[bytes]:
        try:
            return await self._ask(caller, model, texts)
        except ContextLengthExceeded:
            if len(texts) == 1:
                return [await self._halves(caller, model, texts[0])]
        return [(await self._some(caller, model, [text]))[0] for text in texts]

    async def _ask(self, caller: Caller, model: str, texts: Sequence[str]) -> list[bytes]:
        task = Embed(inputs=tuple(texts))
        events = await self._perform.whole(caller, model, task, background=self._background)
        found = {event.index: event.data for event in events if isinstance(event, Vector)}
        if sorted(found) != list(range(len(texts))):
            raise InternalError("The model did not give one vector for each text.")
        return [found[index] for index in range(len(texts))]

    async def _halves(self, caller: Caller, model: str, text: str) -> bytes:
        if len(text) < SHORTEST:
            raise ContextLengthExceeded(f"Not even {len(text)} characters fit into the context of `{model}`.")
        middle = text.rfind(" ", len(text) // 4, len(text) // 2 + 1)
        cut = middle if middle > 0 else len(text) // 2
        parts = (text[:cut], text[cut:])
        return mean([(len(part), (await self._some(caller, model, [part]))[0]) for part in parts])


def mean(weighted: Sequence[tuple[float, bytes]]) -> bytes:
    """The weighted mean of vectors, of unit length again."""
    numbers = [(weight, _numbers(data)) for weight, data in weighted]
    sums = [sum(weight * value for (weight, _), value in zip(numbers, row, strict=True)) for row in _columns(numbers)]
    norm = math.sqrt(sum(value * value for value in sums)) or 1.0
    written = array.array("f", (value / norm for value in sums))
    if sys.byteorder == "big":
        written.byteswap()
    return written.tobytes()


def _columns(numbers: Sequence[tuple[float, "array.array[float]"]]) -> "zip[tuple[float, ...]]":
    return zip(*(values for _, values in numbers), strict=True)


def _numbers(data: bytes) -> "array.array[float]":
    numbers = array.array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
