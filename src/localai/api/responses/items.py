"""Items: what a conversation of this API is made of, as clients send them and as they are stored and shown."""

from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import BeforeValidator, Field, TypeAdapter
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body, items
from localai.api.openai.messages import MESSAGES
from localai.api.responses.hosted import SECRET
from localai.api.responses.parts import PartBody, Parts
from localai.api.responses.tools import ToolBody
from localai.core.errors import ContextLengthExceeded

KNOWN = frozenset(
    (
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "file_search_call",
        "reasoning",
        "compaction",
        "compaction_trigger",
        "item_reference",
        "additional_tools",
    )
)
"""The kinds of item that mean something here; others run in OpenAI's own cloud, are kept and say nothing."""

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "mcp_list_tools": "mcpl",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "file_search_call": "fs",
    "reasoning": "rs",
    "compaction": "cmp",
}
_STATUS = frozenset(("message", "function_call", "function_call_output", "custom_tool_call_output", "reasoning"))
"""Kinds that are shown with a status."""


def _arguments(given: object) -> object:
    return orjson.dumps(given).decode() if isinstance(given, dict) else given


class HitBody(Body):
    """A passage that a search found."""

    filename: str | None = None
    text: str | None = None


class ItemBody(Body):
    """One item; which fields count depends on its type, `message` when it has none."""

    type: str
    id: str | None = Field(default=None, max_length=256)
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Parts | None = None
    name: str | None = Field(default=None, max_length=256)
    namespace: str | None = Field(default=None, max_length=256)
    call_id: str | None = Field(default=None, max_length=512)
    arguments: Annotated[str | None, BeforeValidator(_arguments, json_schema_input_type=str | dict[str, Any])] = None
    input: str | None = None
    output: Parts | None = None
    summary: list[PartBody] | None = None
    encrypted_content: str | None = None
    tools: list[ToolBody] | None = None
    server_label: str | None = Field(default=None, max_length=64)
    approval_request_id: str | None = Field(default=None, max_length=256)
    approve: bool | None = None
    reason: str | None = Field(default=None, max_length=4096)
    queries: list[str] | None = None
    results: list[HitBody] | None = None
    found: SkipJsonSchema[str | None] = None
    """What a search told the model, as it is stored here."""
    raw: SkipJsonSchema[dict[str, Any]] = {}
    """The item as it was sent."""


def _item(given: object) -> object:
    if not isinstance(given, dict):
        raise PydanticCustomError("item", "must be an object")
    sent = cast("dict[str, Any]", given)
    kind: object = sent.get("type")
    if kind is None:
        kind = "item_reference" if "id" in sent and not {"role", "content"} & sent.keys() else "message"
    if not isinstance(kind, str):
        raise PydanticCustomError("item", "must have a string as its `type`")
    return {**sent, "type": kind, "raw": sent} if kind in KNOWN else {"type": kind, "raw": sent}


Item = Annotated[ItemBody, BeforeValidator(_item, json_schema_input_type=ItemBody)]
_MANY = TypeAdapter(list[Item])


def bounded(given: object) -> object:
    """A text as the message it stands for; a list only if it has no more items than any context holds.

    Raises:
        ContextLengthExceeded: There are more than MESSAGES.
    """
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    many = items(given)
    if many is None:
        raise PydanticCustomError("input", "must be a string or a list of items")
    if len(many) > MESSAGES:
        raise ContextLengthExceeded(f"{len(many)} items fit into no context; the limit is {MESSAGES}.", param="input")
    return many


Items = Annotated[list[Item], BeforeValidator(bounded, json_schema_input_type=str | list[ItemBody])]
"""A text, or a list of items."""


def read(stored: list[dict[str, Any]]) -> list[ItemBody]:
    """Stored items, as they were when they were sent."""
    return _MANY.validate_python(stored)


def prefix(item: ItemBody) -> str:
    """What the ids of such items begin with."""
    return _PREFIXES.get(item.type, "item")


def shown(item: ItemBody, identifier: str) -> dict[str, Any]:
    """An item in the form in which it is stored and listed, under that id."""
    written = {**item.raw, "type": item.type, "id": identifier}
    if item.type in _STATUS:
        written.setdefault("status", "completed")
    if item.type == "message":
        written["content"] = _content(item, item.raw.get("content"))
    elif item.type == "reasoning":
        written.setdefault("summary", [])
    elif item.type == "additional_tools":
        written["tools"] = [_without_secrets(tool) for tool in item.raw.get("tools") or ()]
    return written


def _without_secrets(tool: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tool.items() if name not in SECRET}


def _content(item: ItemBody, given: Any) -> list[dict[str, Any]]:
    kind = "output_text" if item.role == "assistant" else "input_text"
    many = [given] if isinstance(given, str) else given or []
    return [_part({"type": kind, "text": part} if isinstance(part, str) else part) for part in many]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    return {"annotations": [], **part} if part.get("type") == "output_text" else part
