"""One response under way: it is generated, told, and stored before its end is told."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

from localai.api.errors import narrow
from localai.api.responses.ladder import Ladder
from localai.api.responses.prompt import Local
from localai.api.responses.workshop import Step
from localai.api.visit import Visit
from localai.core.errors import InternalError, LocalAIError, NotFound
from localai.observe import logs
from localai.service.conversations import Conversations
from localai.service.responses import Item, Record, Responses

_log = logs.get("localai.api")


class Place(NamedTuple):
    """Where a response is kept."""

    owner: str
    history: list[Item]
    input: tuple[Item, ...]
    store: bool
    background: bool
    conversation: str | None


class Turn:
    """Generates, tells and stores one response; the work of a run when it is in the background."""

    def __init__(
        self,
        stream: Callable[[], AsyncGenerator[Step, None]],
        ladder: Ladder,
        place: Place,
        responses: Responses,
        conversations: Conversations,
        visit: Visit,
    ) -> None:
        self._stream = stream
        self._ladder = ladder
        self._place = place
        self._responses = responses
        self._conversations = conversations
        self._visit = visit
        self._keeping: asyncio.Task[None] | None = None
        """Its end, being stored: that is not stopped half-way."""
        self._last: list[bytes] = []
        """The frames that tell its end, until they are told."""

    @property
    def response(self) -> dict[str, Any]:
        """The response as it is now."""
        return self._ladder.response

    @property
    def local(self) -> Local:
        """What a connection remembers of it."""
        place, record = self._place, self._record()
        return Local(record.response["id"], (*place.history, *place.input, *record.output()))

    async def queue(self) -> list[bytes]:
        """Store it as one that waits; gives the first frames."""
        frames = self._ladder.queue()
        await self._responses.add(self._place.owner, self._record())
        return frames

    async def whole(self) -> dict[str, Any]:
        """Generate all of it.

        Raises:
            LocalAIError: It failed; nothing was stored.
        """
        async with aclosing(self._told()) as told:
            async for _ in told:
                pass
        return self.response

    async def frames(self) -> AsyncGenerator[list[bytes], None]:
        """Generate it and tell it in frames; once it has said anything, a failure is told and stored as well.

        Raises:
            LocalAIError: It failed before.
        """
        try:
            async with aclosing(self._told()) as told:
                async for frames in told:
                    if frames:
                        yield frames
        except Exception as error:
            known = narrow(error)
            self._visit.error = known.code
            if not self._ladder.begun:
                raise
            yield await self._failed(known)

    async def cancelled(self) -> list[bytes]:
        """Store that it was cancelled, unless it had just ended by itself; gives the last frames."""
        if self._keeping is not None:
            await self._keeping
            return self._last
        frames = self._ladder.cancel()
        await self._keep()
        return frames

    def broken(self, error: LocalAIError) -> bytes:
        """The last frames of a stream that failed before it had said anything but that it lives."""
        return b"".join(self._ladder.fail(error))

    async def _told(self) -> AsyncGenerator[list[bytes], None]:
        async with aclosing(self._stream()) as steps:
            async for step in steps:
                frames = self._ladder.feed(step)
                if self._ladder.done:
                    self._last = frames
                    self._keeping = asyncio.create_task(self._keep())
                    await asyncio.shield(self._keeping)
                yield frames
                self._last = []
        if not self._ladder.done:
            raise InternalError("The engine stopped without ending its answer.")

    async def _failed(self, error: LocalAIError) -> list[bytes]:
        frames = self._ladder.fail(error)
        try:
            await self._keep()
        except LocalAIError as problem:
            _log.failure("response not stored", problem)
        return frames

    async def _keep(self) -> None:
        """Store it as it ended; a conversation takes what was asked and answered in one piece."""
        place, record = self._place, self._record()
        if place.conversation is not None and record.response["status"] in {"completed", "incomplete"}:
            with contextlib.suppress(NotFound):  # it was deleted meanwhile
                items = [*record.input, *record.output()]
                await self._conversations.append(place.owner, place.conversation, items)
        if place.background:
            with contextlib.suppress(NotFound):
                await self._responses.finish(place.owner, record)
        elif place.store:
            await self._responses.add(place.owner, record)

    def _record(self) -> Record:
        return Record(response=self.response, input=self._place.input, found=self._ladder.found)
