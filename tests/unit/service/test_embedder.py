"""Texts to vectors, whatever their length."""

import struct

import pytest

from localai.core.caller import LOCAL
from localai.core.errors import ContextLengthExceeded, InternalError
from localai.core.event import Done, Vector
from localai.service.embedder import BATCH, Embedder, mean


class Narrow:
    """A model that takes 100 characters, and whose vectors tell the first letter of a text."""

    def __init__(self, lost=False):
        self.asked = []
        self.lost = lost

    async def whole(self, caller, model, task, *, background=False):
        self.asked.append((task.inputs, background))
        if any(len(text) > 100 for text in task.inputs):
            raise ContextLengthExceeded
        count = len(task.inputs) - self.lost
        vectors = [
            Vector(index=index, data=struct.pack("<2f", text.strip()[0] == "a", text.strip()[0] == "b"))
            for index, text in enumerate(task.inputs[:count])
        ]
        return (*reversed(vectors), Done())


async def test_vectors_come_in_the_order_of_the_texts():
    """One vector for each text, in their order, however many there are, in batches."""
    model = Narrow()
    texts = [("a" if number % 3 else "b") + str(number) for number in range(2 * BATCH + 3)]
    found = await Embedder(model, background=True).vectors(LOCAL, "m", texts)
    assert [struct.unpack("<2f", data)[0] == 1.0 for data in found] == [text[0] == "a" for text in texts]
    assert [len(inputs) for inputs, _ in model.asked] == [BATCH, BATCH, 3]
    assert all(background for _, background in model.asked)


async def test_a_long_text_is_the_mean_of_its_parts():
    """A text that does not fit is cut, and its vector is the mean of the parts', weighted by their lengths."""
    found = await Embedder(Narrow()).vectors(LOCAL, "m", ["a short one", "a" * 79 + " " + "b" * 80])
    assert struct.unpack("<2f", found[0]) == (1.0, 0.0)
    first, second = struct.unpack("<2f", found[1])
    assert first == pytest.approx(second, rel=0.05)
    assert first**2 + second**2 == pytest.approx(1)


async def test_a_model_that_takes_nothing_is_an_error():
    """When not even a short text fits, the error says so."""

    class Closed(Narrow):
        async def whole(self, caller, model, task, *, background=False):
            raise ContextLengthExceeded

    with pytest.raises(ContextLengthExceeded, match="Not even"):
        await Embedder(Closed()).vectors(LOCAL, "m", ["x" * 300])


async def test_a_missing_vector_is_an_error():
    """A model that leaves out a vector does not shift the others."""
    with pytest.raises(InternalError):
        await Embedder(Narrow(lost=True)).vectors(LOCAL, "m", ["a", "b"])


def test_mean():
    """The mean is weighted and has the length 1."""
    data = mean([(3, struct.pack("<2f", 1, 0)), (4, struct.pack("<2f", 0, 1))])
    assert struct.unpack("<2f", data) == pytest.approx((0.6, 0.8))
