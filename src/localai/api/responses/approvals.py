"""Calls of MCP tools that somebody has to agree to: asked for in one response, agreed to in the input of the next."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from localai.api.responses.items import ItemBody
from localai.core.errors import InvalidRequest

MOST = 16
"""Calls that one request agrees to."""
HISTORY = "previous_response_id"
"""The path, in errors, of items that were stored before."""


class Agreed(NamedTuple):
    """A call that is to be made now: the id of the request for it, which is its id, too."""

    id: str
    label: str
    tool: str
    arguments: str
    place: str
    """The path of the agreement in errors."""


class Decision(NamedTuple):
    """What an agreement or a refusal says to the model: a call, with the reason if it was refused."""

    request: ItemBody
    refusal: str | None


class Approvals:
    """The requests of a conversation, and what became of them."""

    def __init__(self, placed: Sequence[tuple[str, ItemBody]]) -> None:
        self._requests = {item.id: item for _, item in placed if item.type == "mcp_approval_request"}
        self._over = {item.approval_request_id for _, item in placed if item.type == "mcp_call"}
        self.agreed: list[Agreed] = []
        """The calls to make, in the order of their decisions."""

    def decide(self, item: ItemBody, place: str) -> Decision | None:
        """Take a decision; None when it has nothing (more) to say: its call was made, or it is not known any more.

        Raises:
            InvalidRequest: There is no such request, or the decision is none; or there are too many.
        """
        identifier = item.approval_request_id
        request = self._requests.get(identifier)
        if place == HISTORY and (request is None or item.approve):
            return None
        if request is None or request.name is None or request.server_label is None or request.id is None:
            raise InvalidRequest(
                "There is no `mcp_approval_request` of this id in the conversation.",
                param=f"{place}.approval_request_id",
            )
        if item.approve is None:
            raise InvalidRequest("This needs `approve`: true or false.", param=f"{place}.approve")
        if identifier in self._over:
            return None
        self._over.add(identifier)
        if not item.approve:
            return Decision(request, f"The user did not allow this call. {item.reason or ''}".strip())
        if len(self.agreed) == MOST:
            raise InvalidRequest(f"A request may agree to {MOST} calls.", param=place)
        arguments = request.arguments or "{}"
        self.agreed.append(Agreed(request.id, request.server_label, request.name, arguments, place))
        return Decision(request, None)


def failure(text: str) -> dict[str, Any]:
    """The `error` of a call that failed."""
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}


def result(item: ItemBody) -> str | None:
    """What a call gave, as the model read it; None for one that did not end."""
    match item.raw.get("error"):
        case None:
            return None if item.output is None else "".join(part.text or "" for part in item.output)
        case {"content": [{"text": str() as text}]}:
            return text
        case str() as text:
            return text
        case _:
            return "The tool failed."
