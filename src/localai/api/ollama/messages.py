"""Conversations: the messages of Ollama's chat API as the turns every engine understands."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field

from localai.api.openai.fields import Body
from localai.api.openai.messages import FILES, PAUSE, bounded
from localai.core.errors import InvalidRequest
from localai.core.task import Call, ImagePart, Message, Part, TextPart
from localai.service.media import Media

Images = Annotated[list[str], Field(max_length=FILES)]
"""Images as base64 (or as `data:` URLs)."""


def _arguments(given: object) -> object:
    return orjson.dumps(given).decode() if isinstance(given, dict) else "{}" if given is None else given


class FunctionBody(Body):
    """The function that was called; `arguments` is an object (JSON text is taken too)."""

    name: str = Field(min_length=1, max_length=256)
    arguments: Annotated[str, BeforeValidator(_arguments, json_schema_input_type=dict[str, Any] | str)] = "{}"


class CallBody(Body):
    """A tool call of the history."""

    id: str | None = Field(default=None, max_length=512)
    function: FunctionBody


class MessageBody(Body):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: Images | None = None
    tool_calls: Annotated[list[CallBody], Field(max_length=512)] | None = None
    tool_name: str | None = Field(default=None, max_length=256)
    tool_call_id: str | None = Field(default=None, max_length=512)


Messages = Annotated[list[MessageBody], BeforeValidator(bounded)]


class _Calls:
    """Gives calls without an id one by their place, and finds the call that a result answers."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[Call] = []

    def made(self, bodies: Sequence[CallBody]) -> tuple[Call, ...]:
        calls: list[Call] = []
        for body in bodies:
            call = Call(id=body.id or f"call_{self._count}", name=body.function.name, arguments=body.function.arguments)
            self._count += 1
            calls.append(call)
        self._open += calls
        return tuple(calls)

    def answered(self, body: MessageBody) -> str:
        """The id of the call that a tool message answers: the named one, else the oldest without an answer."""
        if body.tool_call_id:
            self._open = [call for call in self._open if call.id != body.tool_call_id]
            return body.tool_call_id
        fitting = [call for call in self._open if body.tool_name in {None, "", call.name}]
        if not fitting:
            return f"call_{body.tool_name or 'unknown'}"
        self._open.remove(fitting[0])
        return fitting[0].id


async def conversation(bodies: Sequence[MessageBody], media: Media) -> tuple[Message, ...]:
    """The turns of the conversation.

    Raises:
        InvalidRequest: An image that is none, or too many of them.
    """
    if sum(len(body.images or ()) for body in bodies) > FILES:
        raise InvalidRequest(f"A request may carry at most {FILES} images.", param="messages")
    calls = _Calls()
    turns: list[Message] = []
    for index, body in enumerate(bodies):
        turns.append(await _message(body, f"messages.{index}", calls, media))
        if index % PAUSE == PAUSE - 1:
            await asyncio.sleep(0)
    return tuple(turns)


async def _message(body: MessageBody, place: str, calls: _Calls, media: Media) -> Message:
    content = await parts(body.content or "", body.images or (), place, media)
    match body.role:
        case "system" | "developer":
            return Message(role="system", content=content)
        case "user":
            return Message(role="user", content=content)
        case "assistant":
            made = calls.made(body.tool_calls or ())
            return Message(role="assistant", content=content, thought=body.thinking or None, calls=made)
        case "tool":
            return Message(role="tool", content=content, call_id=calls.answered(body), name=body.tool_name or None)


async def parts(text: str, images: Sequence[str], place: str, media: Media) -> tuple[Part, ...]:
    """A text and the images with it.

    Raises:
        InvalidRequest: An image that is none.
    """
    found: list[Part] = [TextPart(text=text)] if text else []
    for index, image in enumerate(images):
        param = f"{place}.images.{index}" if place else f"images.{index}"
        url = image if image[:8].lower().startswith(("data:", "http://", "https://")) else f"data:;base64,{image}"
        found.append(ImagePart(data=await media.image(url, param=param)))
    return tuple(found)
