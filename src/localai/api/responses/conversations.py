"""The routes of conversations."""

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.replies import json_reply
from localai.api.responses import paging
from localai.api.responses.body import ConversationCreateBody, ConversationItemsBody, ConversationUpdateBody
from localai.api.responses.items import ItemBody, prefix, shown
from localai.api.responses.response import page
from localai.api.table import Row
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.service.conversations import Conversations, Item
from localai.storage.objects import Stored

_TAG = "Conversations"


def rows(conversations: Conversations) -> list[Row]:
    """The rows about conversations."""
    routes = _Routes(conversations)
    one, items = "/v1/conversations/{id}", "/v1/conversations/{id}/items"
    item = f"{items}/{{item}}"
    return [
        Row("POST", "/v1/conversations", routes.create, "infer", "Begin a conversation", ConversationCreateBody, _TAG),
        Row("GET", one, routes.get, "infer", "A conversation", tag=_TAG),
        Row("POST", one, routes.label, "infer", "Change a conversation's metadata", ConversationUpdateBody, _TAG),
        Row("DELETE", one, routes.delete, "infer", "Delete a conversation with its items", tag=_TAG),
        Row("POST", items, routes.append, "infer", "Append items", ConversationItemsBody, _TAG),
        Row("GET", items, routes.items, "infer", "The items of a conversation", tag=_TAG),
        Row("GET", item, routes.item, "infer", "One item", tag=_TAG),
        Row("DELETE", item, routes.drop, "infer", "Delete one item", tag=_TAG),
    ]


class _Routes:
    """The handlers."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def create(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ConversationCreateBody)
        items = _stored(body.items or [])
        return json_reply(_shown(await self._conversations.create(caller.owner, body.metadata or {}, items)))

    async def get(self, request: Request, caller: Caller) -> Response:
        return json_reply(_shown(await self._conversations.get(caller.owner, request.path_params["id"])))

    async def label(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ConversationUpdateBody)
        labelled = await self._conversations.label(caller.owner, request.path_params["id"], body.metadata or {})
        return json_reply(_shown(labelled))

    async def delete(self, request: Request, caller: Caller) -> Response:
        identifier = request.path_params["id"]
        await self._conversations.remove(caller.owner, identifier)
        return json_reply({"id": identifier, "object": "conversation.deleted", "deleted": True})

    async def append(self, request: Request, caller: Caller) -> Response:
        body = await read(request, ConversationItemsBody)
        items = _stored(body.items)
        await self._conversations.append(caller.owner, request.path_params["id"], items)
        return json_reply(page(items, more=False))

    async def items(self, request: Request, caller: Caller) -> Response:
        asked = paging.asked(request)
        found, more = await self._conversations.page(caller.owner, request.path_params["id"], **asked._asdict())
        return json_reply(page(found, more=more))

    async def item(self, request: Request, caller: Caller) -> Response:
        path = request.path_params
        return json_reply(await self._conversations.item(caller.owner, path["id"], path["item"]))

    async def drop(self, request: Request, caller: Caller) -> Response:
        path = request.path_params
        return json_reply(_shown(await self._conversations.drop(caller.owner, path["id"], path["item"])))


def _stored(bodies: list[ItemBody]) -> list[Item]:
    """The items as they are stored, each under a new id.

    Raises:
        InvalidRequest: One of them only refers to another, or is a message of nobody.
    """
    items: list[dict[str, Any]] = []
    for place, body in enumerate(bodies):
        if body.type == "item_reference":
            raise InvalidRequest("A conversation takes the item itself, not a reference.", param=f"items.{place}.type")
        if body.type == "message" and (body.role is None or body.content is None):
            missing = "role" if body.role is None else "content"
            raise InvalidRequest(f"A message needs `{missing}`.", param=f"items.{place}.{missing}")
        items.append(shown(body, f"{prefix(body)}_{secrets.token_hex(24)}"))
    return items


def _shown(stored: Stored) -> dict[str, Any]:
    return {
        "id": stored.id,
        "object": "conversation",
        "created_at": int(stored.created),
        "metadata": stored.payload["metadata"],
    }
