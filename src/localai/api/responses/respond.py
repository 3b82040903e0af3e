"""From a request body to a response under way; what asks from inside the server uses this, too."""

import time
from collections.abc import AsyncGenerator
from typing import Any

from localai.api.answer import Answer
from localai.api.responses import compact
from localai.api.responses.body import RESULTS, SEALED, CompactBody, Context, MessageBody, ResponseBody
from localai.api.responses.ladder import Ladder
from localai.api.responses.prompt import Local, Prompt, Prompts
from localai.api.responses.response import begun
from localai.api.responses.turn import Place, Turn
from localai.api.responses.workshop import Asked, Step, Workshop
from localai.api.visit import Visit
from localai.core.caller import Caller
from localai.core.errors import InternalError
from localai.core.event import Done, Text, Tokens
from localai.core.task import Generate, Render, Task, Tokenize
from localai.service.conversations import Conversations
from localai.service.perform import Perform
from localai.service.responses import Responses, new_id
from localai.service.shorten import shortening
from localai.service.toolloop import Batch


class Responder:
    """Answers requests of this dialect, whoever brings them."""

    def __init__(
        self,
        perform: Perform,
        prompts: Prompts,
        responses: Responses,
        conversations: Conversations,
        workshop: Workshop | None = None,
    ) -> None:
        self._perform = perform
        self._workshop = workshop or Workshop()
        self._prompts = prompts
        self._responses = responses
        self._conversations = conversations

    async def prepare(self, caller: Caller, body: ResponseBody, visit: Visit, local: Local | None = None) -> Turn:
        """A response that may begin; `local` is what its connection remembers.

        Raises:
            LocalAIError: The request cannot be answered.
        """
        body.check()
        identifier = new_id()
        prompt = await self._prompts.make(caller.owner, body, identifier, local)
        await self._workshop.check(caller, prompt.kit.hosted, prompt.agreed)
        task = _task(body, prompt)
        model = await self._choose(caller, body, task, visit)
        ladder = Ladder(
            begun(body, identifier, model, int(time.time())),
            prompt.kit,
            summary=body.summary() is not None,
            sealed=body.wants(SEALED),
            logprobs=task.logprobs is not None,
            silent=isinstance(body, MessageBody) and body.generate is False,
            results=body.wants(RESULTS),
            listed=prompt.listed,
        )
        conversation = None if body.conversation is None else body.conversation.id
        place = Place(
            caller.owner, prompt.history, prompt.input, body.store is not False, bool(body.background), conversation
        )

        def stream() -> AsyncGenerator[Step, None]:
            if isinstance(body, MessageBody) and body.generate is False:
                return _nothing()
            performing = _Shortening(self._perform) if body.truncation == "auto" else self._perform
            if not prompt.kit.hosted.some:
                return performing.stream(caller, body.model, task, keep_alive=body.keep_alive)
            asked = Asked(
                body.model, task, prompt.kit.hosted, prompt.agreed, body.max_tool_calls, keep_alive=body.keep_alive
            )
            return self._workshop.make(performing, caller, asked)

        return Turn(stream, ladder, place, self._responses, self._conversations, visit)

    async def count(self, caller: Caller, body: Context, visit: Visit) -> int:
        """How many tokens the prompt of a request has.

        Raises:
            LocalAIError: The request could not be answered.
        """
        prompt = await self._prompts.make(caller.owner, body, new_id())
        await self._workshop.check(caller, prompt.kit.hosted, prompt.agreed)
        hosted = prompt.kit.hosted
        chat = await self._workshop.offered(caller, prompt.chat, hosted) if hosted.some else prompt.chat
        task = Render(chat=chat)
        await self._choose(caller, body, task, visit)
        written = await self._perform.whole(caller, body.model, task)
        text = "".join(event.text for event in written if isinstance(event, Text))
        found = await self._perform.whole(caller, body.model, Tokenize(text=text, special=True))
        tokens = next((event for event in found if isinstance(event, Tokens)), None)
        if tokens is None:
            raise InternalError("The engine gave no tokens.")
        return len(tokens.ids)

    async def compact(self, caller: Caller, body: CompactBody, visit: Visit) -> dict[str, Any]:
        """The short form of a conversation.

        Raises:
            LocalAIError: The request cannot be answered.
        """
        identifier = new_id()
        prompt = await self._prompts.make(caller.owner, body, identifier)
        task = compact.asked(prompt)
        await self._choose(caller, body, task, visit)
        answer = Answer()
        for event in await self._perform.whole(caller, body.model, task):
            answer.hear(event)
        return compact.reply(answer, prompt, identifier)

    async def _choose(self, caller: Caller, body: Context, task: Task, visit: Visit) -> str:
        """The installed name of the model that will answer; metrics show it."""
        await self._perform.refresh()
        visit.model = self._perform.choose(caller, body.model, task).name
        return visit.model


class _Shortening:
    """Generates, with the oldest turns left out of what does not fit."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform

    def stream(
        self, caller: Caller, model: str | None, task: Generate, *, keep_alive: float | None = None
    ) -> AsyncGenerator[Batch, None]:
        """The events."""
        return shortening(lambda shorter: self._perform.stream(caller, model, shorter, keep_alive=keep_alive), task)


async def _nothing() -> AsyncGenerator[Step, None]:
    """An answer without anything."""
    yield (Done(),)


def _task(body: ResponseBody, prompt: Prompt) -> Generate:
    return Generate(
        prompt=prompt.chat,
        format=body.format(),
        sampling=body.sampling(),
        max_tokens=body.limit(),
        stop=body.stop or (),
        logprobs=body.logprobs(),
        cache=body.cache_prompt is not False,
        adapters=body.adapters(),
    )
