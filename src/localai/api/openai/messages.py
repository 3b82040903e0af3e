"""Conversations: the messages of the chat API as the turns every engine understands."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from localai.api.openai import documents
from localai.api.openai.custom import CustomCallBody, arguments
from localai.api.openai.documents import FileBody, Stored
from localai.api.openai.fields import Body, items
from localai.core.errors import ContextLengthExceeded, InvalidRequest
from localai.core.task import AudioPart, Call, ImagePart, Message, Part, TextPart
from localai.service.media import Media

MESSAGES = 16384
"""Messages of one request: more cannot fit any context, because each takes a few tokens."""

FILES = 64
"""Images, sounds and files of one request."""
PAUSE = 256
"""Messages that are translated before the event loop gets its turn."""


class UrlBody(Body):
    """Where an image is: a `data:` URL, or an address."""

    url: str
    detail: str | None = None


class AudioBody(Body):
    """Sound: base64 of a file of this format."""

    data: str
    format: Literal["wav", "mp3"] = "wav"


def _url(given: object) -> object:
    return {"url": given} if isinstance(given, str) else given


class PartBody(Body):
    """A piece of a message."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Annotated[UrlBody, BeforeValidator(_url, json_schema_input_type=str | UrlBody)] | None = None
    input_audio: AudioBody | None = None
    file: FileBody | None = None


def _parts(given: object) -> object:
    if isinstance(given, str):
        return [{"type": "text", "text": given}] if given else []
    many = items(given)
    if many is None:
        raise PydanticCustomError("content", "must be a string or a list of parts")
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in many]


def _arguments(given: object) -> object:
    return orjson.dumps(given).decode() if isinstance(given, dict) else given or "{}"


class CallBody(Body):
    """The function an assistant message called; `arguments` is JSON text."""

    name: str = Field(min_length=1, max_length=256)
    arguments: Annotated[str, BeforeValidator(_arguments, json_schema_input_type=str | dict[str, Any])] = "{}"


class ToolCallBody(Body):
    """A tool call of the history."""

    id: str | None = Field(default=None, max_length=512)
    function: CallBody | None = None
    custom: CustomCallBody | None = None


class MessageBody(Body):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[list[PartBody], BeforeValidator(_parts, json_schema_input_type=str | list[PartBody])] | None = (
        None
    )
    name: str | None = Field(default=None, max_length=256)
    tool_calls: Annotated[list[ToolCallBody], Field(max_length=512)] | None = None
    tool_call_id: str | None = Field(default=None, max_length=512)
    function_call: CallBody | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    """A text as in `reasoning_content`; other forms of other servers are left out."""

    @property
    def thought(self) -> str | None:
        """The reasoning of the message, under whichever name it came."""
        other = self.reasoning if isinstance(self.reasoning, str) else None
        return self.reasoning_content or other


def bounded(given: object) -> object:
    """Refuse a list of more messages than any context holds before its items are looked at.

    Raises:
        ContextLengthExceeded: There are more than MESSAGES.
    """
    many = items(given)
    if many is not None and len(many) > MESSAGES:
        raise ContextLengthExceeded(
            f"{len(many)} messages fit into no context; the limit is {MESSAGES}.", param="messages"
        )
    return given


Messages = Annotated[list[MessageBody], Field(min_length=1), BeforeValidator(bounded)]


async def conversation(
    bodies: Sequence[MessageBody], media: Media, stored: Stored | None = None
) -> tuple[Message, ...]:
    """The turns of the conversation; `stored` gets the files that it names by their ids.

    Raises:
        InvalidRequest: A message lacks what its role needs, or has a part that no engine takes; too many files.
    """
    files = sum(part.type in {"image_url", "input_audio", "file"} for body in bodies for part in body.content or ())
    if files > FILES:
        raise InvalidRequest(f"A request may carry at most {FILES} images, sounds and files.", param="messages")
    turns: list[Message] = []
    for index, body in enumerate(bodies):
        turns.append(await _message(body, f"messages.{index}", media, stored))
        if index % PAUSE == PAUSE - 1:
            await asyncio.sleep(0)
    return tuple(turns)


async def _message(body: MessageBody, place: str, media: Media, stored: Stored | None) -> Message:
    if body.content is None and body.role != "assistant":
        raise InvalidRequest(f"A message of the role `{body.role}` needs content.", param=f"{place}.content")
    content = tuple(
        [await _part(part, f"{place}.content.{index}", media, stored) for index, part in enumerate(body.content or ())]
    )
    match body.role:
        case "system" | "developer":
            return Message(role="system", content=content, name=body.name)
        case "user":
            return Message(role="user", content=content, name=body.name)
        case "assistant":
            return Message(
                role="assistant",
                content=content or _refused(body),
                thought=body.thought,
                calls=_calls(body, place),
                name=body.name,
            )
        case "tool":
            if body.tool_call_id is None:
                raise InvalidRequest("A tool message needs `tool_call_id`.", param=f"{place}.tool_call_id")
            return Message(role="tool", content=content, call_id=body.tool_call_id, name=body.name)
        case "function":
            if body.name is None:
                raise InvalidRequest("A function message needs `name`.", param=f"{place}.name")
            return Message(role="tool", content=content, call_id=f"call_{body.name}", name=body.name)


def _refused(body: MessageBody) -> tuple[Part, ...]:
    return (TextPart(text=body.refusal),) if body.refusal else ()


def _calls(body: MessageBody, place: str) -> tuple[Call, ...]:
    if body.function_call is not None:
        name = body.function_call.name
        return (Call(id=f"call_{name}", name=name, arguments=body.function_call.arguments),)
    calls: list[Call] = []
    for index, call in enumerate(body.tool_calls or ()):
        name = call.id or f"call_{index}"
        if call.function is not None:
            calls.append(Call(id=name, name=call.function.name, arguments=call.function.arguments))
        elif call.custom is not None:
            calls.append(Call(id=name, name=call.custom.name, arguments=arguments(call.custom.input)))
        else:
            raise InvalidRequest("A tool call needs `function`.", param=f"{place}.tool_calls.{index}.function")
    return tuple(calls)


async def _part(part: PartBody, place: str, media: Media, stored: Stored | None) -> Part:
    match part:
        case PartBody(type="text" | "input_text" | "output_text", text=str() as text):
            return TextPart(text=text)
        case PartBody(type="refusal", refusal=str() as text):
            return TextPart(text=text)
        case PartBody(type="image_url", image_url=UrlBody(url=url)):
            return ImagePart(data=await media.image(url, param=f"{place}.image_url"))
        case PartBody(type="input_audio", input_audio=AudioBody(data=data, format=form)):
            return AudioPart(data=await media.audio(data, form, param=f"{place}.input_audio"), format=form)
        case PartBody(type="file", file=FileBody() as file):
            return await documents.part(file, f"{place}.file", media, stored)
        case PartBody(type="text" | "refusal" | "image_url" | "input_audio" | "file" as kind):
            raise InvalidRequest(f"A part of type `{kind}` needs `{kind}`.", param=f"{place}.{kind}")
        case _:
            raise InvalidRequest(
                "This kind of part is not supported; there are `text`, `image_url`, `input_audio` and `file`.",
                param=f"{place}.type",
            )
