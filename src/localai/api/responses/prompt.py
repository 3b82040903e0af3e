"""What the model reads: instructions, the conversation so far, and the items of the request."""

import asyncio
from typing import Any, NamedTuple

from localai.api.responses.approvals import HISTORY, Agreed, Approvals
from localai.api.responses.body import Context
from localai.api.responses.items import ItemBody, prefix, read, shown
from localai.api.responses.parts import Files, Reader
from localai.api.responses.tools import Kit, kit
from localai.api.responses.turns import turns
from localai.core.errors import Conflict, InvalidRequest, NotFound
from localai.core.task import Chat, Message, TextPart
from localai.service.conversations import Conversations
from localai.service.media import Media
from localai.service.responses import Item, Responses, item_id


class Prompt(NamedTuple):
    """A prompt, with what became of the request's parts."""

    chat: Chat
    kit: Kit
    history: list[Item]
    """The items before those of the request."""
    input: tuple[Item, ...]
    """The items of the request, as they are stored."""
    agreed: tuple[Agreed, ...] = ()
    """The calls to make first."""
    listed: tuple[Any, ...] = ()
    """The lists of tools that are in the conversation already."""


class Local(NamedTuple):
    """The last response of a connection: it can be continued there, stored or not."""

    id: str
    items: tuple[Item, ...]
    """The whole conversation up to it."""


class Prompts:
    """Makes prompts; finds what requests refer to."""

    def __init__(self, media: Media, files: Files | None, responses: Responses, conversations: Conversations) -> None:
        self._media = media
        self._files = files
        self._responses = responses
        self._conversations = conversations

    async def make(self, owner: str, body: Context, identifier: str, local: Local | None = None) -> Prompt:
        """The prompt of a request; `identifier` is the id of its response, `local` what its connection remembers.

        Raises:
            InvalidRequest: With the field at fault in `param`.
            NotFound: It refers to something that is not there.
            Conflict: It continues a response that has not ended.
        """
        known = local is not None and local.id == body.previous_response_id
        history = list(local.items) if local is not None and known else await self._history(owner, body)
        given = [
            await self._resolved(owner, item, history, f"input.{place}") for place, item in enumerate(body.input or ())
        ]
        before = await asyncio.to_thread(read, history)
        tools = kit([*(body.tools or ()), *_more_tools([*before, *given])], body.tool_choice)
        placed = [(HISTORY, item) for item in before]
        placed += [(f"input.{place}", item) for place, item in enumerate(given)]
        approvals = Approvals(placed)
        messages = await turns(placed, Reader(self._media, self._files, owner), approvals)
        if body.instructions is not None:
            messages = (Message(role="system", content=(TextPart(text=body.instructions),)), *messages)
        if not messages:
            raise InvalidRequest("There must be something in `input`.", param="input")
        return Prompt(
            _chat(body, messages, tools),
            tools,
            history,
            tuple(
                shown(item, item_id(identifier, prefix(item), place, output=False)) for place, item in enumerate(given)
            ),
            tuple(approvals.agreed),
            tuple(item.raw for _, item in placed if item.type == "mcp_list_tools"),
        )

    async def _history(self, owner: str, body: Context) -> list[Item]:
        if body.previous_response_id is not None and body.conversation is not None:
            raise InvalidRequest(
                "`previous_response_id` and `conversation` exclude each other.", param="previous_response_id"
            )
        if body.conversation is not None:
            return await self._conversations.history(owner, body.conversation.id)
        if body.previous_response_id is None:
            return []
        items = await self._responses.chain(owner, body.previous_response_id)
        if (await self._responses.get(owner, body.previous_response_id)).response["status"] == "queued":
            raise Conflict("The response to continue has not ended yet.", param="previous_response_id")
        return items

    async def _resolved(self, owner: str, item: ItemBody, history: list[Item], place: str) -> ItemBody:
        """An item, or the stored one that it refers to."""
        if item.type != "item_reference":
            return item
        if item.id is None:
            raise InvalidRequest("An item of type `item_reference` needs `id`.", param=f"{place}.id")
        found = next((each for each in history if each.get("id") == item.id), None)
        found = found or await self._responses.item(owner, item.id) or await self._conversations.find(owner, item.id)
        if found is None:
            raise NotFound(f"There is no stored item `{item.id[:80]}`.", param=f"{place}.id")
        return read([found])[0]


def _more_tools(items: list[ItemBody]) -> list[Any]:
    return [tool for item in items if item.type == "additional_tools" for tool in item.tools or ()]


def _chat(body: Context, messages: tuple[Message, ...], tools: Kit) -> Chat:
    effort = body.effort()
    return Chat(
        messages=messages,
        tools=tools.tools,
        tool_choice=tools.choice,
        parallel_calls=body.parallel_tool_calls is not False,
        thinking=None if effort is None else effort != "none",
        effort=None if effort == "none" else effort,
    )
