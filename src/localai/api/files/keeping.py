"""Stored chat completions: what was answered with `store: true`, to be listed, described and deleted."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from localai.api.answer import Answer
from localai.api.body import read
from localai.api.files.batching import Metadata
from localai.api.files.query import listing, query
from localai.api.merge import Numbered
from localai.api.openai import chat
from localai.api.openai.fields import Body
from localai.api.openai.head import Head
from localai.api.openai.messages import MessageBody
from localai.api.replies import json_reply
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, NotFound, PayloadTooLarge
from localai.core.event import Done
from localai.service.completions import Completions
from localai.storage.objects import Stored

SIZE = 4 * 2**20
"""Bytes of a conversation that is stored."""

_FILTER = re.compile(r"metadata\[(.{1,64})\]")
_METADATA: TypeAdapter[dict[str, str] | None] = TypeAdapter(Metadata | None)


class ChangeBody(Body):
    """What is noted at a stored completion from now on."""

    metadata: Metadata | None


class Keeping:
    """Stores answers while they are given, and the handlers of those that are stored."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions

    def keep(
        self,
        caller: Caller,
        body: chat.ChatBody,
        wanted: chat.Asked,
        head: Head,
        numbered: AsyncGenerator[Numbered, None],
    ) -> AsyncGenerator[Numbered, None]:
        """The same events; before the last of them the answer is stored, if the client wants it to be.

        Raises:
            InvalidRequest: The metadata is not what can be stored.
            PayloadTooLarge: The conversation is too large to be stored.
        """
        if body.store is not True:
            return numbered
        messages = [_written(message) for message in body.messages]
        if len(orjson.dumps(messages)) > SIZE:
            raise PayloadTooLarge(f"A conversation of more than {SIZE} bytes cannot be stored.", param="store")
        try:
            metadata = _METADATA.validate_python(body.metadata) or {}
        except ValidationError:
            raise InvalidRequest("`metadata` must map at most 16 texts to texts.", param="metadata") from None
        return self._kept(caller, wanted, head, numbered, messages, metadata)

    async def _kept(
        self,
        caller: Caller,
        wanted: chat.Asked,
        head: Head,
        numbered: AsyncGenerator[Numbered, None],
        messages: list[dict[str, Any]],
        metadata: dict[str, str],
    ) -> AsyncGenerator[Numbered, None]:
        answers = [Answer() for _ in wanted.tasks]
        running = len(answers)
        async with aclosing(numbered):
            async for index, batch in numbered:
                for event in batch:
                    answers[index].hear(event)
                    running -= isinstance(event, Done)
                if not running:
                    completion = chat.reply(answers, head, wanted)
                    await self._completions.add(caller.owner, completion, messages, metadata)
                yield index, batch

    async def page(self, request: Request, caller: Caller) -> Response:
        """List stored completions."""
        asked = query(request, default=20, most=100, order="asc")
        metadata = {key[1]: value for name, value in request.query_params.items() if (key := _FILTER.fullmatch(name))}
        model = request.query_params.get("model") or None
        found, more = await self._completions.page(caller.owner, model=model, metadata=metadata, **asked._asdict())
        return json_reply(listing([_shown(stored) for stored in found], more=more))

    async def one(self, request: Request, caller: Caller) -> Response:
        """Give a stored completion."""
        return json_reply(_shown(await self._completions.get(caller.owner, request.path_params["completion"])))

    async def change(self, request: Request, caller: Caller) -> Response:
        """Change its metadata."""
        body = await read(request, ChangeBody)
        identifier = request.path_params["completion"]
        return json_reply(_shown(await self._completions.change(caller.owner, identifier, body.metadata or {})))

    async def remove(self, request: Request, caller: Caller) -> Response:
        """Delete a stored completion."""
        identifier = request.path_params["completion"]
        await self._completions.remove(caller.owner, identifier)
        return json_reply({"object": "chat.completion.deleted", "id": identifier, "deleted": True})

    async def messages(self, request: Request, caller: Caller) -> Response:
        """List the messages that a stored completion answers."""
        asked = query(request, default=20, most=100, order="asc")
        stored = await self._completions.get(caller.owner, request.path_params["completion"])
        told = [{"id": f"{stored.id}-{index}", **each} for index, each in enumerate(stored.payload["messages"])]
        told = told if asked.order == "asc" else told[::-1]
        if asked.after is not None:
            places = [place for place, each in enumerate(told, 1) if each["id"] == asked.after]
            if not places:
                raise NotFound("There is no such message.", param="after")
            told = told[places[0] :]
        return json_reply(listing(told[: asked.limit], more=len(told) > asked.limit))


def _shown(stored: Stored) -> dict[str, Any]:
    return {**stored.payload["completion"], "metadata": stored.payload["metadata"]}


def _written(message: MessageBody) -> dict[str, Any]:
    """A message of a conversation as it is listed; one that is more than text has `content_parts`."""
    told = message.model_dump(exclude_none=True, exclude={"content"})
    parts = [part.model_dump(exclude_none=True) for part in message.content or ()]
    text = "".join(part.get("text", "") for part in parts) if parts or message.content == [] else None
    plain = all(part["type"] == "text" for part in parts)
    return {**told, "content": text, "content_parts": None if plain else parts}
