"""The pieces of messages: text, images, sound and files."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from localai.api.openai.fields import Body, items
from localai.api.openai.messages import FILES, AudioBody, UrlBody
from localai.core.errors import InvalidRequest, NotFound, PayloadTooLarge
from localai.core.task import AudioPart, ImagePart, Part, TextPart
from localai.service.extract import UnreadableFile, text_of
from localai.service.media import LIMIT, Media
from localai.storage.objects import Stored


class Files(Protocol):
    """Where the files are that clients uploaded; what is not there, or somebody else's, raises NotFound."""

    async def get(self, owner: str, id: str) -> Stored:  # noqa: A002 - the API's name
        """What is known of a file."""
        ...

    async def read(self, owner: str, id: str, limit: int) -> bytes:  # noqa: A002
        """Its content, of at most `limit` bytes."""
        ...


def _url(given: object) -> object:
    return given if given is None or isinstance(given, str) else UrlBody.model_validate(given).url


class PartBody(Body):
    """A piece of a message."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Annotated[str | None, BeforeValidator(_url, json_schema_input_type=str | UrlBody | None)] = None
    file_id: str | None = Field(default=None, max_length=256)
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = Field(default=None, max_length=1024)
    input_audio: AudioBody | None = None


def _parts(given: object) -> object:
    if isinstance(given, str):
        return [{"type": "text", "text": given}] if given else []
    many = items(given)
    if many is None:
        raise PydanticCustomError("content", "must be a string or a list of parts")
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in many]


Parts = Annotated[list[PartBody], BeforeValidator(_parts, json_schema_input_type=str | list[PartBody])]
"""A text, or a list of parts."""

_TEXT = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


class Reader:
    """Turns the parts of one request into what engines take; counts its files."""

    def __init__(self, media: Media, files: Files | None, owner: str) -> None:
        self._media = media
        self._files = files
        self._owner = owner
        self._count = 0

    async def read(self, bodies: Sequence[PartBody], place: str) -> tuple[Part, ...]:
        """The parts of one message; `place` is its content's path in errors.

        Raises:
            InvalidRequest: A part lacks what its type needs, or is of a type or a file that no engine takes.
            NotFound: There is no such stored file.
        """
        return tuple([await self._part(part, f"{place}.{index}") for index, part in enumerate(bodies)])

    async def _part(self, part: PartBody, place: str) -> Part:
        match part:
            case PartBody(type=kind, text=str() as text) if kind in _TEXT:
                return TextPart(text=text)
            case PartBody(type="refusal", refusal=str() as text):
                return TextPart(text=text)
            case PartBody(type="input_image" | "image_url", image_url=str() as url):
                self._counted(place)
                return ImagePart(data=await self._media.image(url, param=f"{place}.image_url"))
            case PartBody(type="input_image", file_id=str() as identifier):
                self._counted(place)
                _, data = await self._stored(identifier, f"{place}.file_id")
                return ImagePart(data=await self._media.image(_data_url(data), param=f"{place}.file_id"))
            case PartBody(type="input_audio", input_audio=AudioBody(data=data, format=form)):
                self._counted(place)
                return AudioPart(data=await self._media.audio(data, form, param=f"{place}.input_audio"), format=form)
            case PartBody(type="input_file"):
                self._counted(place)
                return await self._file(part, place)
            case _:
                raise _unusable(part, place)

    async def _file(self, part: PartBody, place: str) -> Part:
        """A file of text, as text under its name: engines read no files."""
        if part.file_id is not None:
            param = f"{place}.file_id"
            name, data = await self._stored(part.file_id, param)
        elif part.file_data is not None:
            param = f"{place}.file_data"
            name, data = part.filename or "file", await asyncio.to_thread(_decoded, part.file_data, param)
        else:
            raise InvalidRequest(
                "A part of type `input_file` needs `file_data` or `file_id`; this server does not fetch files.",
                param=f"{place}.file_url" if part.file_url is not None else f"{place}.file_data",
            )
        try:
            text = await asyncio.to_thread(text_of, data, name)
        except UnreadableFile as error:
            raise InvalidRequest(error.message, param=param) from None
        return TextPart(text=f"File `{name}`:\n{text}\n")

    async def _stored(self, identifier: str, param: str) -> tuple[str, bytes]:
        """The name and the bytes of a stored file."""
        if self._files is None:
            raise InvalidRequest("This server keeps no files; send the file itself.", param=param)
        try:
            stored = await self._files.get(self._owner, identifier)
            return str(stored.payload["filename"]), await self._files.read(self._owner, identifier, LIMIT)
        except NotFound as error:
            raise NotFound(error.message, param=param) from None

    def _counted(self, place: str) -> None:
        self._count += 1
        if self._count > FILES:
            raise InvalidRequest(f"A request may carry at most {FILES} images, sounds and files.", param=place)


def _unusable(part: PartBody, place: str) -> InvalidRequest:
    needs = {"refusal": "refusal", "input_image": "image_url", "image_url": "image_url", "input_audio": "input_audio"}
    needs |= dict.fromkeys(_TEXT, "text")
    if part.type in needs:
        name = needs[part.type]
        return InvalidRequest(f"A part of type `{part.type}` needs `{name}`.", param=f"{place}.{name}")
    return InvalidRequest(
        "This kind of part is not supported; there are `input_text`, `output_text`, `refusal`, `input_image`, "
        "`input_audio` and `input_file`.",
        param=f"{place}.type",
    )


def _data_url(data: bytes) -> str:
    return f"data:image/any;base64,{base64.b64encode(data).decode()}"


def _decoded(text: str, param: str) -> bytes:
    """The bytes of base64 or of a `data:` URL that carries it."""
    head, comma, rest = text.partition(",")
    if text[:5].lower() == "data:":
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidRequest("A `data:` URL must carry base64: `data:TYPE;base64,...`.", param=param)
        text = rest
    if len(text) // 4 * 3 > LIMIT:
        raise PayloadTooLarge(f"A file in a request may have at most {LIMIT} bytes.", param=param)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The base64 is not valid.", param=param) from None
