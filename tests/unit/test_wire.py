"""Frames between gateway and worker."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.core.errors import InternalError
from localai.core.event import Done, Text, Usage
from localai.core.model import Model, Sizing
from localai.core.task import Chat, Generate, ImagePart, Message, TextPart
from localai.wire import FRAME_LIMIT, Deframer, Item, Load, Open, decode_to_gateway, decode_to_worker, frame


def test_a_message_survives_the_trip():
    """What one process says, the other one reads: unions, bytes and nested values included."""
    chat = Chat(messages=(Message(role="user", content=(TextPart(text="héllo\0"), ImagePart(data=b"\x89PNG"))),))
    sent = Open(stream=7, task=Generate(prompt=chat, stop=("\n",)))
    (body,) = Deframer().feed(frame(sent))
    assert decode_to_worker(body) == sent
    load = Load(model=Model(name="m", engine="echo", options={"a": [1, "x", None]}), sizing=Sizing(context=5))
    (body,) = Deframer().feed(frame(load))
    assert decode_to_worker(body) == load


@given(st.lists(st.text(), min_size=1, max_size=20), st.randoms())
def test_frames_survive_any_cut(texts: list[str], rng: random.Random):
    """However the byte stream is cut into reads, the same messages come out in order."""
    sent = [Item(stream=number, event=Text(text=text)) for number, text in enumerate(texts)]
    data = b"".join(frame(message) for message in sent)
    deframer, got = Deframer(), []
    while data:
        cut = rng.randint(1, len(data))
        got += [decode_to_gateway(body) for body in deframer.feed(data[:cut])]
        data = data[cut:]
    assert got == sent


def test_a_length_beyond_the_limit_ends_the_connection():
    """An announced frame larger than FRAME_LIMIT is refused before any memory is taken for it."""
    with pytest.raises(InternalError):
        Deframer().feed((FRAME_LIMIT + 1).to_bytes(4, "big"))


def test_a_message_that_is_too_large_is_not_sent():
    """A message beyond FRAME_LIMIT is refused at the sender."""
    with pytest.raises(InternalError):
        frame(Item(stream=1, event=Text(text="x" * (FRAME_LIMIT + 1))))


def test_unknown_fields_are_refused():
    """Our processes are of one version: a field the other does not know is an error, not a guess."""
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        decode_to_gateway(
            msgspec.msgpack.encode({"type": "item", "stream": 1, "event": {"type": "text", "text": "", "x": 1}})
        )


def test_defaults_cost_nothing():
    """An empty Done is a few bytes: fields that have their default are not sent."""
    assert len(frame(Item(stream=1, event=Done()))) <= 40
    assert len(frame(Item(stream=1, event=Done(usage=Usage(prompt=3))))) < 60
