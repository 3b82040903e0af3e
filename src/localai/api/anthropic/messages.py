"""Conversations of the messages API as the turns every engine understands."""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from localai.api.anthropic.blocks import BlockBody, Blocks, is_left_out
from localai.api.anthropic.sources import Sources
from localai.api.anthropic.thinking import Recall
from localai.api.openai.fields import Body
from localai.api.openai.messages import FILES, PAUSE, bounded
from localai.core.errors import InvalidRequest
from localai.core.task import Call, ImagePart, Message, Part, TextPart

BILLING = "x-anthropic-billing-header:"
"""What a line begins with that Claude Code puts first and changes from build to build and session to session."""

_GAP = TextPart(text="\n\n")


class MessageBody(Body):
    """One message; `system` may also stand in the middle of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: Blocks


Messages = Annotated[list[MessageBody], Field(min_length=1), BeforeValidator(bounded)]


async def conversation(
    system: Sequence[BlockBody], bodies: Sequence[MessageBody], sources: Sources
) -> tuple[Message, ...]:
    """The turns of a conversation, the system prompt first.

    Raises:
        InvalidRequest: A block lacks what its type needs, stands where it may not, or cannot be read; too many files.
    """
    reader = _Reader(sources)
    turns = reader.system(system, "system")
    for index, body in enumerate(bodies):
        turns += await reader.message(body, f"messages.{index}")
        if index % PAUSE == PAUSE - 1:
            await asyncio.sleep(0)
    return tuple(turns)


class _Reader:
    """Reads the messages of one request."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._recall = Recall()
        self._files = 0

    async def message(self, body: MessageBody, place: str) -> list[Message]:
        match body.role:
            case "system":
                return self.system(body.content, f"{place}.content")
            case "user":
                return await self._user(body.content, f"{place}.content")
            case "assistant":
                return [self._assistant(body.content, f"{place}.content")]

    def system(self, blocks: Sequence[BlockBody], place: str) -> list[Message]:
        """A system message of paragraphs, without the line about billing: it would spoil the cache of every turn."""
        parts: list[Part] = []
        for index, block in enumerate(blocks):
            if block.type != "text" or block.text is None:
                raise InvalidRequest("A system prompt consists of text.", param=f"{place}.{index}")
            text = _unbilled(block.text)
            if text:
                parts += [_GAP, TextPart(text=text)] if parts else [TextPart(text=text)]
        return [Message(role="system", content=tuple(parts))] if parts else []

    async def _user(self, blocks: Sequence[BlockBody], place: str) -> list[Message]:
        """A user's words; results of tools become turns of their own, in the order in which they stand."""
        turns: list[Message] = []
        parts: list[Part] = []
        for index, block in enumerate(blocks):
            spot = f"{place}.{index}"
            if block.type != "tool_result":
                parts += await self._parts(block, spot)
                continue
            if parts:
                turns.append(Message(role="user", content=tuple(parts)))
                parts = []
            turns.append(await self._result(block, spot))
        if parts or not turns:
            turns.append(Message(role="user", content=tuple(parts)))
        return turns

    async def _result(self, block: BlockBody, place: str) -> Message:
        if block.tool_use_id is None:
            raise InvalidRequest("A `tool_result` needs `tool_use_id`.", param=f"{place}.tool_use_id")
        parts: list[Part] = []
        for index, inner in enumerate(block.content or ()):
            parts += await self._parts(inner, f"{place}.content.{index}")
        if block.is_error and not _admits(parts):
            parts.insert(0, TextPart(text="Error: "))
        return Message(role="tool", content=tuple(parts), call_id=block.tool_use_id)

    def _assistant(self, blocks: Sequence[BlockBody], place: str) -> Message:
        """An answer of before. What other servers' models put into it and no engine here can read is left out."""
        parts: list[Part] = []
        thoughts: list[str] = []
        calls: list[Call] = []
        for index, block in enumerate(blocks):
            match block:
                case BlockBody(type="text"):
                    parts += _text(block, f"{place}.{index}")
                case BlockBody(type="tool_use"):
                    calls.append(_call(block, f"{place}.{index}"))
                case BlockBody(type="thinking"):
                    thoughts.append(self._recall.thought(block.thinking or "", block.signature or ""))
                case BlockBody(type="image" | "document" | "search_result" | "tool_result" as kind):
                    raise InvalidRequest(f"An assistant's message holds no `{kind}`.", param=f"{place}.{index}.type")
                case _:
                    pass
        return Message(
            role="assistant",
            content=tuple(parts),
            thought="\n\n".join(thought for thought in thoughts if thought) or None,
            calls=tuple(calls),
        )

    async def _parts(self, block: BlockBody, place: str) -> list[Part]:
        match block.type:
            case "text":
                return _text(block, place)
            case "image":
                self._files += 1
                if self._files > FILES:
                    raise InvalidRequest(f"A request may carry at most {FILES} images.", param="messages")
                return [ImagePart(data=await self._sources.image(block, place))]
            case "document":
                return await self._document(block, place)
            case "search_result":
                return await self._found(block, place)
            case kind if is_left_out(kind):
                return []
            case _:
                raise InvalidRequest(
                    "This kind of block is not supported here; there are `text`, `image`, `document`,"
                    " `search_result` and, in a user's message, `tool_result`.",
                    param=f"{place}.type",
                )

    async def _document(self, block: BlockBody, place: str) -> list[Part]:
        if block.source is not None and block.source.type == "content":
            inner = await self._inside(block.source.content, f"{place}.source.content")
        else:
            inner = [TextPart(text=await self._sources.text(block, place))]
        if block.context:
            inner = [TextPart(text=block.context + "\n\n"), *inner]
        return _enclosed("document", inner, title=block.title)

    async def _found(self, block: BlockBody, place: str) -> list[Part]:
        inner = await self._inside(block.content, f"{place}.content")
        source = block.source.url if block.source is not None else None
        return _enclosed("search_result", inner, title=block.title, source=source)

    async def _inside(self, blocks: Sequence[BlockBody] | None, place: str) -> list[Part]:
        if blocks is None:
            raise InvalidRequest("There must be content.", param=place)
        parts: list[Part] = []
        for index, inner in enumerate(blocks):
            if inner.type not in {"text", "image"}:
                raise InvalidRequest("There may be `text` and `image` inside.", param=f"{place}.{index}.type")
            parts += await self._parts(inner, f"{place}.{index}")
        return parts


def _unbilled(text: str) -> str:
    if not text.lstrip().lower().startswith(BILLING):
        return text
    return text.lstrip().partition("\n")[2].lstrip("\n")


def _text(block: BlockBody, place: str) -> list[Part]:
    if block.text is None:
        raise InvalidRequest("A block of type `text` needs `text`.", param=f"{place}.text")
    return [TextPart(text=block.text)] if block.text else []


def _call(block: BlockBody, place: str) -> Call:
    """A call of before, its arguments spelled as grammars here spell them, so that they are the same tokens again."""
    if block.name is None or block.id is None:
        raise InvalidRequest("A `tool_use` needs `id`, `name` and `input`.", param=place)
    return Call(id=block.id, name=block.name, arguments=json.dumps(block.input or {}, ensure_ascii=False))


def _admits(parts: Sequence[Part]) -> bool:
    """Whether a result says by itself that it is an error."""
    first = parts[0] if parts else None
    return isinstance(first, TextPart) and "error" in first.text[:64].lower()


def _enclosed(kind: str, inner: Sequence[Part], **facts: str | None) -> list[Part]:
    """Parts between marks that tell a model where they begin and end."""
    told = "".join(f" {name}={json.dumps(value, ensure_ascii=False)}" for name, value in facts.items() if value)
    return [TextPart(text=f"<{kind}{told}>\n"), *inner, TextPart(text=f"\n</{kind}>\n")]
