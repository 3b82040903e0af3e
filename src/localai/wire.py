"""What gateway and worker say to each other, and how it is framed.

One connected Unix socket pair per worker, made by the gateway and inherited by the worker: there is no name to
guess, no port to leak, and the end of either process is an end-of-file at the other. A frame is a 4-byte
big-endian length and one msgpack message. Many requests ("streams") share the connection.

Flow control is per stream: the worker may have WINDOW items of a stream under way; the gateway gives credit back
as it consumes them. A slow reader thus stops its own stream and nobody else's.
"""

import struct
from typing import Literal

import msgspec

from localai.core.errors import InternalError
from localai.core.event import Event
from localai.core.model import Loaded, Model, Sizing
from localai.core.task import Task, Value

WINDOW = 256
"""Items of one stream that may be under way before credit comes back."""
FRAME_LIMIT = 64 * 2**20
"""Bytes of the largest frame; a larger one ends the connection."""
BEAT = 1.0
"""Seconds between two heartbeats of a worker."""

_HEAD = struct.Struct(">I")


class Load(Value, frozen=True, tag="load"):
    """To the worker, first and once: load this model with this much."""

    model: Model
    sizing: Sizing


class Open(Value, frozen=True, tag="open"):
    """To the worker: begin a request under this stream number (never used before on this connection)."""

    stream: int
    task: Task


class Cancel(Value, frozen=True, tag="cancel"):
    """To the worker: nobody waits for this stream any more; it still ends with Done or Failed."""

    stream: int


class Credit(Value, frozen=True, tag="credit"):
    """To the worker: this many more items of the stream may be sent."""

    stream: int
    items: int


class Shutdown(Value, frozen=True, tag="shutdown"):
    """To the worker: close the engine and exit."""


class Ready(Value, frozen=True, tag="ready"):
    """From the worker: the model is loaded and can generate."""

    loaded: Loaded


class Unable(Value, frozen=True, tag="unable"):
    """From the worker: the model could not be loaded; the process exits after this."""

    code: str
    message: str


class Item(Value, frozen=True, tag="item"):
    """From the worker: an event of a stream. Done or Failed is the last of its stream."""

    stream: int
    event: Event


class Beat(Value, frozen=True, tag="beat"):
    """From the worker every BEAT seconds while it lives.

    `progress` grows whenever the engine does something (a token, a prompt batch): busy streams with a progress
    that stands still mean a hung engine, even if the heartbeat goes on.
    """

    progress: int
    busy: int
    memory: int
    """Resident bytes of the process now."""
    phase: Literal["loading", "ready"] = "ready"


ToWorker = Load | Open | Cancel | Credit | Shutdown
ToGateway = Ready | Unable | Item | Beat

_encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_to_gateway = msgspec.msgpack.Decoder(ToGateway).decode


def frame(message: ToWorker | ToGateway) -> bytes:
    """Encode one message with its length in front.

    Raises:
        InternalError: The message is larger than FRAME_LIMIT.
    """
    body = _encode(message)
    if len(body) > FRAME_LIMIT:
        raise InternalError("A message between gateway and worker is too large.")
    return _HEAD.pack(len(body)) + body


def _is_frame(data: bytes) -> bool:
    """Whether it is one frame and nothing else: what a model that writes token by token sends."""
    size = len(data) - _HEAD.size
    return 0 <= size <= FRAME_LIMIT and _HEAD.unpack_from(data)[0] == size


class Deframer:
    """Cuts a byte stream back into frame bodies; holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the bodies that are complete now, in order.

        Raises:
            InternalError: A length beyond FRAME_LIMIT was announced; the connection is unusable.
        """
        held = self._held
        if not held and _is_frame(data):
            return [data[_HEAD.size :]]
        held += data
        bodies: list[bytes] = []
        start = 0
        while len(held) - start >= _HEAD.size:
            (length,) = _HEAD.unpack_from(held, start)
            if length > FRAME_LIMIT:
                raise InternalError("The other process announced a frame that is too large.")
            end = start + _HEAD.size + length
            if len(held) < end:
                break
            bodies.append(bytes(held[start + _HEAD.size : end]))
            start = end
        if start:
            del held[:start]
        return bodies
