"""Content blocks of the messages API: which are read, and which are left out because nothing here can use them."""

from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body, items

READ = frozenset(
    (
        "text",
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
    )
)
"""Types of blocks whose fields are looked at."""
LEFT_OUT = frozenset(
    ("server_tool_use", "mcp_tool_use", "container_upload", "compaction", "tool_reference", "browser_state", "fallback")
)
"""Types that tell of tools, containers and memories of Anthropic's own cloud; so do all `..._tool_result`."""


class SourceBody(Body):
    """Where an image or a document is: `base64`, `url`, `text`, `content` or `file`."""

    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = Field(default=None, max_length=128)
    content: "Blocks | None" = None


def _source(given: object) -> object:
    """A search result names its source by a text."""
    return {"type": "url", "url": given} if isinstance(given, str) else given


class BlockBody(Body):
    """A block of content."""

    type: str
    text: str | None = None
    source: Annotated[SourceBody, BeforeValidator(_source, json_schema_input_type=str | SourceBody)] | None = None
    title: str | None = None
    context: str | None = None
    id: str | None = Field(default=None, max_length=512)
    name: str | None = Field(default=None, min_length=1, max_length=256)
    input: dict[str, Any] | None = None
    tool_use_id: str | None = Field(default=None, max_length=512)
    content: "Blocks | None" = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None


def is_left_out(kind: str) -> bool:
    """Whether a block of this type says nothing to a model of one's own."""
    return kind in LEFT_OUT or (kind.endswith("_tool_result") and kind != "tool_result")


def _blocks(given: object) -> object:
    """A bare text is one block; of a block that is not read only the type is kept, whatever its fields are."""
    if isinstance(given, str):
        return [{"type": "text", "text": given}] if given else []
    many = items(given)
    if many is None:
        raise PydanticCustomError("content", "must be a string or a list of blocks")
    return [_known(block) for block in many]


def _known(block: object) -> object:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if not isinstance(block, dict):
        return block
    kind = cast("dict[str, object]", block).get("type")
    return {"type": kind} if isinstance(kind, str) and kind not in READ else cast("dict[str, object]", block)


Blocks = Annotated[
    list[BlockBody],
    BeforeValidator(_blocks, json_schema_input_type=str | list[dict[str, Any]]),
    Field(max_length=16384),
]
"""A text, or a list of blocks."""

SourceBody.model_rebuild()
BlockBody.model_rebuild()
