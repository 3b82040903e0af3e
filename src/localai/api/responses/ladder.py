"""From the events of a generation to the events of a streamed response, and to the response itself."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, assert_never

from localai.api.responses.frames import Frames
from localai.api.responses.output import Calling, Item, Saying, Status, Thinking
from localai.api.responses.response import failure, usage
from localai.api.responses.served import Asking, Listing, Searching, Serving, described
from localai.api.responses.tools import Kit
from localai.api.responses.workshop import Opened, Step
from localai.core.errors import LocalAIError
from localai.core.event import (
    Done,
    Event,
    Failed,
    Logprobs,
    Progress,
    Score,
    Text,
    Thought,
    Tokens,
    ToolCall,
    Vector,
)
from localai.service import toolbox
from localai.service.responses import item_id

Kind = TypeVar("Kind", bound=Item)


class Ladder:
    """One response as it comes. What it says is given as frames; what it is, is `response`."""

    def __init__(
        self,
        response: dict[str, Any],
        kit: Kit,
        *,
        summary: bool = False,
        sealed: bool = False,
        logprobs: bool = False,
        silent: bool = False,
        results: bool = False,
        listed: Sequence[dict[str, Any]] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin.

        Args:
            response: The response that has nothing to say yet.
            kit: The tools it may call.
            summary: Give its thoughts as their summary.
            sealed: Give its thoughts packed, too.
            logprobs: Give log-probabilities with each piece of text.
            silent: An answer without anything has no message.
            results: Give what searches find.
            listed: Lists of tools that the client has already.
            clock: Unix seconds.
        """
        self._head = response
        self._kit = kit
        self._summary = summary
        self._sealed = sealed
        self._logprobs = logprobs
        self._silent = silent
        self._results = results
        self._listed = [(each.get("server_label"), each.get("tools")) for each in listed]
        self._clock = clock
        self._frames = Frames()
        self._items: list[Item] = []
        self._closed: dict[int, Status] = {}
        """How items ended, by their place."""
        self._open: Saying | Thinking | Serving | Searching | None = None
        self._calls: dict[int, Calling | Asking] = {}
        self._tools = Opened((), {}, frozenset(), None)
        """What this server calls itself."""
        self._begun = False
        self._working = False
        self.done = False
        """Whether the response has ended, in whatever way."""

    @property
    def begun(self) -> bool:
        """Whether it has said anything."""
        return self._begun

    @property
    def response(self) -> dict[str, Any]:
        """The response as it is now."""
        items = [item.shown(self._closed.get(place, "in_progress")) for place, item in enumerate(self._items)]
        return {**self._head, "output": items}

    @property
    def found(self) -> dict[str, str]:
        """What searches told the model, by the ids of their items."""
        return {item.id: item.told for item in self._items if isinstance(item, Searching) and item.told is not None}

    def queue(self) -> list[bytes]:
        """Say that it exists and waits."""
        self._head["status"] = "queued"
        self._begin()
        self._state("response.queued")
        return self._frames.take()

    def feed(self, step: Step) -> list[bytes]:
        """Take what happens next; gives what that makes it say.

        Waiting says nothing: an error before the model reads the prompt can then still be an HTTP error.
        """
        match step:
            case Opened():
                self._tools = step
            case toolbox.Calling():
                self._serve(step)
            case toolbox.Called():
                self._served(step)
            case _:
                self._events(step)
        return self._frames.take()

    def _events(self, batch: Sequence[Event]) -> None:
        for event in batch:
            if type(event) is Text:
                self._say(event.text)
            else:
                self._hear(event)

    def fail(self, error: LocalAIError) -> list[bytes]:
        """End with an error."""
        self._end("failed", "incomplete", error=failure(error))
        return self._frames.take()

    def cancel(self) -> list[bytes]:
        """End because somebody asked for it."""
        self._end("cancelled", "incomplete")
        return self._frames.take()

    def _hear(self, event: Event) -> None:
        match event:
            case Progress():
                if event.stage == "prefill":
                    self._work()
            case Text(text=text):
                self._say(text)
            case Thought(text=text):
                self._think(text)
            case ToolCall():
                self._call(event)
            case Logprobs(tokens=tokens):
                if isinstance(self._open, Saying):
                    self._open.explain(tokens)
            case Done():
                self._finish(event)
            case Vector() | Score() | Tokens() | Failed():
                pass
            case _:
                assert_never(event)

    def _say(self, text: str) -> None:
        if not isinstance(self._open, Saying):
            identifier, place = self._next("msg")
            self._open = self._added(Saying(self._frames, identifier, place, logprobs=self._logprobs))
        self._open.say(text)

    def _think(self, text: str) -> None:
        if not isinstance(self._open, Thinking):
            identifier, place = self._next("rs")
            self._open = self._added(
                Thinking(self._frames, identifier, place, summary=self._summary, sealed=self._sealed)
            )
        self._open.say(text)

    def _call(self, event: ToolCall) -> None:
        """Add to a call. Several may grow side by side, so all of them end together."""
        call = self._calls.get(event.index)
        if call is None:
            call = self._calls[event.index] = self._begun_call(event)
        if event.arguments:
            call.say(event.arguments)

    def _begun_call(self, event: ToolCall) -> Calling | Asking:
        guarded = self._tools.guarded.get(event.name)
        if guarded is not None:
            identifier, place = self._next("mcpr", calls=True)
            return self._added(Asking(self._frames, identifier, place, label=guarded.server, tool=guarded.tool))
        named = self._kit.named(event.name)
        identifier, place = self._next("ctc" if named.kind == "custom" else "fc", calls=True)
        return self._added(Calling(self._frames, identifier, place, call=event.id or f"call_{identifier}", named=named))

    def _serve(self, call: toolbox.Calling) -> None:
        """This server begins a call."""
        search = self._tools.search
        if search is not None and call.server == search.name:
            identifier, place = self._next("fs")
            searching = Searching(self._frames, identifier, place, arguments=call.arguments, results=self._results)
            self._open = self._added(searching)
            return
        identifier, place = self._next("mcp")
        serving = Serving(
            self._frames,
            identifier,
            place,
            label=call.server,
            tool=call.tool,
            arguments=call.arguments,
            approval=call.id if call.id in self._tools.agreed else None,
        )
        self._open = self._added(serving)

    def _served(self, called: toolbox.Called) -> None:
        """The call that this server began has ended."""
        match self._open:
            case Serving() as serving:
                serving.end(called.output, failed=called.error)
            case Searching() as searching if self._tools.search is not None:
                found = None if called.error else self._tools.search.searches[-1].found
                searching.end(called.output, found)
            case _:
                pass
        self._close("completed")

    def _list(self) -> None:
        """Tell which tools there are, unless the client knows."""
        for label, tools in self._tools.listings:
            if (label, described(tools)) not in self._listed:
                identifier, place = self._next("mcpl")
                self._closed[place] = "completed"
                self._added(Listing(self._frames, identifier, place, label=label, tools=tools))

    def _added(self, item: Kind) -> Kind:
        self._items.append(item)
        return item

    def _next(self, prefix: str, *, calls: bool = False) -> tuple[str, int]:
        """The id and the place of a new item, before which the one that was open ends."""
        self._work()
        self._close("completed", calls=not calls)
        place = len(self._items)
        return item_id(self._head["id"], prefix, place, output=True), place

    def _close(self, status: Status, *, calls: bool = True) -> None:
        """End what is open."""
        closing: list[Item] = [] if self._open is None else [self._open]
        self._open = None
        if calls:
            closing += self._calls.values()
            self._calls = {}
        for item in closing:
            item.close(status)
            self._closed[self._items.index(item)] = status

    def _finish(self, done: Done) -> None:
        self._head["usage"] = usage(done.usage)
        if not self._items and not self._silent:
            self._say("")
        if done.finish == "length":
            self._end("incomplete", "incomplete", incomplete_details={"reason": "max_output_tokens"})
        else:
            self._end("completed", "completed", completed_at=int(self._clock()))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._state("response.created")

    def _work(self) -> None:
        if not self._working:
            self._working = True
            self._head["status"] = "in_progress"
            self._begin()
            self._state("response.in_progress")
            self._list()

    def _end(self, status: str, items: Status, **facts: Any) -> None:
        self._work()
        self._close(items)
        self._head.update(status=status, **facts)
        self.done = True
        self._state(last(status))

    def _state(self, kind: str) -> None:
        self._frames.say(kind, response=self.response)


def last(status: str) -> str:
    """The last event of a response with this status; there is none of its own for one that was cancelled."""
    return "response.incomplete" if status == "cancelled" else f"response.{status}"
