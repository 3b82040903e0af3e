"""The way out of a request: what it sees of its connection's transport."""

import asyncio
from typing import Protocol


class Closing(Protocol):
    """A connection that decides how it is closed."""

    transport: asyncio.Transport

    def close(self) -> None:
        """Close after the answer is out."""
        ...


class Exit:
    """What a request sees of the transport: closing goes through the connection."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, connection: Closing) -> None:
        self.close = connection.close
        self.is_closing = connection.transport.is_closing
        self.write = connection.transport.write
