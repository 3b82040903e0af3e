"""Tools that the server itself calls: generate, call what the model asks for, tell it the results, generate again.

Bounded in rounds, in seconds, in calls of a round and in the size of results. In the last round the model has no
tools any more and must answer. Every call is one line of the audit stream: who, which server and tool, how it went
and how long it took, never what was asked or answered.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.core.event import Done, Event, Text, Thought, Timings, ToolCall, Usage
from localai.core.task import Call, Chat, Generate, Message, TextPart, ToolChoice, Value
from localai.service.toolbox import Called, Calling, Toolbox

Batch = tuple[Event, ...]


class Performs(Protocol):
    """Who generates; `perform.Perform` does."""

    def stream(
        self, caller: Caller, model: str | None, task: Generate, *, keep_alive: float | None = None
    ) -> AsyncGenerator[Batch, None]:
        """The events of a generation."""
        ...


class Limits(Value, frozen=True):
    """What one request may do."""

    rounds: int = 10
    """Generations, the last one without tools."""
    seconds: float = 600
    """Once so many have passed, the next round is the last."""
    calls: int = 16
    """Calls of one round; of more, the rest gets an error as its result."""


Step = Batch | Calling | Called
"""What a run gives as it goes: events of the model, and the server's own calls between them."""


async def run(
    perform: Performs,
    caller: Caller,
    model: str | None,
    task: Generate,
    toolbox: Toolbox,
    *,
    limits: Limits | None = None,
    keep_alive: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Step, None]:
    """Answer a conversation with the tools of the box, which are called here, and those of the task, which are not.

    The events of all rounds come as they are made; calls of the client's own tools are passed on and end the run.
    The last step is a batch that ends with Done, whose usage is that of all rounds together. With tools of both
    kinds the model makes one call at a time, so that no turn mixes them.

    Raises:
        InvalidRequest: The task is not a conversation.
        LocalAIError: Whatever the model ends with.
    """
    if not isinstance(task.prompt, Chat):
        raise InvalidRequest("Tools need a conversation.")
    bounds, began = limits or Limits(), clock()
    chat = _offering(task.prompt, toolbox)
    spent = Spent()
    for number in range(1, bounds.rounds + 1):
        last = number == bounds.rounds or clock() - began > bounds.seconds
        turn = Turn(toolbox)
        asked = msgspec.structs.replace(task, prompt=_bare(chat) if last else chat, max_tokens=spent.left(task))
        async with aclosing(perform.stream(caller, model, asked, keep_alive=keep_alive)) as batches:
            async for batch in batches:
                if passed := turn.hear(batch):
                    yield passed
        spent.add(turn.done)
        if last or not turn.calls or turn.mixed or spent.left(task) == 0:
            ours = bool(turn.calls) and not turn.mixed
            yield (spent.total(msgspec.structs.replace(turn.done, finish="length") if ours else turn.done),)
            return
        called: list[Called] = []
        for position, call in enumerate(turn.calls):
            yield toolbox.calling(call)
            called.append(await _made(toolbox, caller, call, allowed=position < bounds.calls))
            yield called[-1]
        chat = _told(chat, turn, called)


async def _made(toolbox: Toolbox, caller: Caller, call: Call, *, allowed: bool) -> Called:
    if allowed:
        return await toolbox.call(caller, call)
    calling = toolbox.calling(call)
    return Called(**msgspec.structs.asdict(calling), output="Too many calls at once; make fewer.", error=True)


def _offering(chat: Chat, toolbox: Toolbox) -> Chat:
    both = bool(chat.tools) and bool(toolbox.tools)
    return msgspec.structs.replace(
        chat, tools=(*chat.tools, *toolbox.tools), parallel_calls=chat.parallel_calls and not both
    )


def _bare(chat: Chat) -> Chat:
    return msgspec.structs.replace(chat, tool_choice=ToolChoice(mode="none"))


def _told(chat: Chat, turn: "Turn", called: Sequence[Called]) -> Chat:
    """The conversation with the calls of a turn and their results; what was required is required no more."""
    said = (TextPart(text=turn.text),) if turn.text else ()
    asked = Message(role="assistant", content=said, thought=turn.thought or None, calls=tuple(turn.calls))
    results = [
        Message(role="tool", call_id=call.id, name=call.name, content=(TextPart(text=one.output),))
        for call, one in zip(turn.calls, called, strict=True)
    ]
    choice = ToolChoice() if chat.tool_choice.mode == "required" else chat.tool_choice
    messages = (*chat.messages, asked, *results)
    return msgspec.structs.replace(chat, messages=messages, tool_choice=choice, continue_last=False)


class Turn:
    """One generation: what is passed on of it, and the calls that are ours."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._ours: dict[int, list[ToolCall]] = {}
        self._text: list[str] = []
        self._thought: list[str] = []
        self._theirs: set[int] = set()
        self.done = Done()

    def hear(self, batch: Batch) -> Batch:
        """Take a batch; give what the client is to see of it."""
        return tuple(event for event in batch if self._passes(event))

    def _passes(self, event: Event) -> bool:
        match event:
            case ToolCall():
                return self._is_theirs(event)
            case Done():
                self.done = event
                return False
            case Text(text=text):
                self._text.append(text)
            case Thought(text=text):
                self._thought.append(text)
            case _:
                pass
        return True

    def _is_theirs(self, event: ToolCall) -> bool:
        if event.index in self._theirs:
            return True
        if event.index not in self._ours and not self._toolbox.holds(event.name):
            self._theirs.add(event.index)
            return True
        self._ours.setdefault(event.index, []).append(event)
        return False

    @property
    def calls(self) -> list[Call]:
        """The calls that are ours, in their order."""
        return [
            Call(
                id=next((piece.id for piece in pieces if piece.id), ""),
                name=pieces[0].name,
                arguments="".join(piece.arguments for piece in pieces),
            )
            for _, pieces in sorted(self._ours.items())
        ]

    @property
    def mixed(self) -> bool:
        """Whether the client's own tools were called: then the turn is the client's."""
        return bool(self._theirs)

    @property
    def text(self) -> str:
        """What the model said."""
        return "".join(self._text)

    @property
    def thought(self) -> str:
        """What it thought."""
        return "".join(self._thought)


class Spent:
    """What all rounds used together."""

    def __init__(self) -> None:
        self._dones: list[Done] = []

    def add(self, done: Done) -> None:
        """Count a round."""
        self._dones.append(done)

    def left(self, task: Generate) -> int | None:
        """Tokens that may still be generated; None where the task sets no ceiling."""
        if task.max_tokens is None:
            return None
        return max(0, task.max_tokens - sum(done.usage.completion for done in self._dones))

    def total(self, last: Done) -> Done:
        """The end of the run: as the last round ended, with the usage of all."""
        usages, timings = [done.usage for done in self._dones], [done.timings for done in self._dones]
        return msgspec.structs.replace(
            last,
            usage=Usage(
                prompt=sum(usage.prompt for usage in usages),
                completion=sum(usage.completion for usage in usages),
                cached=sum(usage.cached for usage in usages),
                thought=sum(usage.thought for usage in usages),
            ),
            timings=Timings(
                prompt=sum(timing.prompt for timing in timings), generate=sum(timing.generate for timing in timings)
            ),
        )
