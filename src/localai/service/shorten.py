"""Conversations that are too long for their model: the oldest turns go until the rest fits."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from localai.core.errors import ContextLengthExceeded
from localai.core.event import Event, Progress
from localai.core.task import Chat, Generate, Message

Batch = tuple[Event, ...]
Stream = Callable[[Generate], AsyncGenerator[Batch, None]]


async def shortening(stream: Stream, task: Generate) -> AsyncGenerator[Batch, None]:
    """Answer a task; when its prompt does not fit, try again with a quarter of the oldest turns left out.

    System messages stay, and so does the last turn. A result never stays without the call it belongs to.

    Raises:
        ContextLengthExceeded: Not even the last turn fits.
    """
    begun = False
    while True:
        try:
            async with aclosing(stream(task)) as batches:
                async for batch in batches:
                    begun = begun or not all(isinstance(event, Progress) for event in batch)
                    yield batch
        except ContextLengthExceeded:
            shorter = None if begun else _shorter(task)
            if shorter is None:
                raise
            task = shorter
        else:
            return


def _shorter(task: Generate) -> Generate | None:
    chat = task.prompt
    if not isinstance(chat, Chat):
        return None
    messages = without_oldest(chat.messages)
    if len(messages) == len(chat.messages):
        return None
    return msgspec.structs.replace(task, prompt=msgspec.structs.replace(chat, messages=messages))


def without_oldest(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation without a quarter (but at least one) of its turns; the same when there is only one."""
    turns = _turns(messages)
    dropped = max(1, (len(turns) - 1) // 4) if len(turns) > 1 else 0
    over = {place for turn in turns[:dropped] for place in turn}
    return tuple(message for place, message in enumerate(messages) if place not in over)


def _turns(messages: tuple[Message, ...]) -> list[list[int]]:
    """The places of the messages of each turn: a message of the user or the model, with the results that follow."""
    turns: list[list[int]] = []
    for place, message in enumerate(messages):
        if message.role == "system":
            continue
        if message.role == "tool" and turns:
            turns[-1].append(place)
        else:
            turns.append([place])
    return turns
