"""Images and documents of blocks, from wherever they are: in the request, at an address, or among the stored files."""

import asyncio
import base64
from typing import Protocol

from localai.api.anthropic.blocks import BlockBody, SourceBody
from localai.core.errors import InvalidRequest, NotFound, PayloadTooLarge
from localai.service.extract import UnreadableFile, text_of
from localai.service.media import LIMIT, Media
from localai.storage.objects import Stored

TEXT_LIMIT = 2 * 2**20
"""Bytes of one document: more fits hardly any context."""


class Shelf(Protocol):
    """What is asked of the stored files; see `service.files.Files`."""

    async def get(self, owner: str, id: str) -> Stored:  # noqa: A002 - as the store calls it
        """One file."""
        ...

    async def read(self, owner: str, id: str, limit: int) -> bytes:  # noqa: A002
        """Its content."""
        ...


class Sources:
    """Gets the bytes and the texts that the blocks of one request name."""

    def __init__(self, media: Media, shelf: Shelf | None = None, owner: str = "") -> None:
        self._media = media
        self._shelf = shelf
        self._owner = owner

    async def image(self, block: BlockBody, place: str) -> bytes:
        """The bytes of an image block.

        Raises:
            InvalidRequest: It is no image, or nowhere; `param` names the field.
            NotFound: There is no such stored file.
        """
        match block.source:
            case SourceBody(type="base64", data=str() as data):
                return await self._media.image(f"data:image;base64,{data}", param=f"{place}.source.data")
            case SourceBody(type="url", url=str() as url):
                return await self._media.image(url, param=f"{place}.source.url")
            case SourceBody(type="file", file_id=str() as name):
                _, data = await self._stored(name, LIMIT, f"{place}.source.file_id")
                text = (await asyncio.to_thread(base64.b64encode, data)).decode("ascii")
                return await self._media.image(f"data:image;base64,{text}", param=f"{place}.source.file_id")
            case SourceBody(type="base64" | "url" | "file" as kind):
                raise _lacking(kind, place)
            case _:
                raise InvalidRequest(
                    "The source of an image must be of type `base64`, `url` or `file`.", param=f"{place}.source"
                )

    async def text(self, block: BlockBody, place: str) -> str:
        """The text of a document block (of any source but `content`).

        Raises:
            InvalidRequest: It is not text; `param` names the field.
            NotFound: There is no such stored file.
            PayloadTooLarge: It has more than TEXT_LIMIT bytes.
        """
        match block.source:
            case SourceBody(type="text", data=str() as data):
                return data
            case SourceBody(type="base64", data=str() as data):
                content = await self._media.document(data, param=f"{place}.source.data")
                return await _text(content, block.title or "", f"{place}.source.data")
            case SourceBody(type="file", file_id=str() as identifier):
                name, content = await self._stored(identifier, TEXT_LIMIT, f"{place}.source.file_id")
                return await _text(content, name, f"{place}.source.file_id")
            case SourceBody(type="url"):
                raise UnreadableFile(
                    "Documents at an address are not fetched here; send the text itself, with a source of type `text`.",
                    param=f"{place}.source.type",
                )
            case SourceBody(type="text" | "base64" | "file" as kind):
                raise _lacking(kind, place)
            case _:
                raise InvalidRequest(
                    "The source of a document must be of type `text`, `content`, `base64` or `file`.",
                    param=f"{place}.source",
                )

    async def _stored(self, identifier: str, limit: int, param: str) -> tuple[str, bytes]:
        """The name and the content of a stored file."""
        if self._shelf is None:
            raise InvalidRequest("This server stores no files; send the content itself.", param=param)
        try:
            file = await self._shelf.get(self._owner, identifier)
            return str(file.payload["filename"]), await self._shelf.read(self._owner, identifier, limit)
        except NotFound as error:
            raise NotFound(error.message, param=param) from None


async def _text(data: bytes, name: str, param: str) -> str:
    if len(data) > TEXT_LIMIT:
        raise PayloadTooLarge(f"A document may have at most {TEXT_LIMIT} bytes.", param=param)
    try:
        return await asyncio.to_thread(text_of, data, name)
    except UnreadableFile as error:
        raise UnreadableFile(error.message, param=param) from None


def _lacking(kind: str, place: str) -> InvalidRequest:
    field = {"base64": "data", "text": "data", "url": "url", "file": "file_id"}[kind]
    return InvalidRequest(f"A source of type `{kind}` needs `{field}`.", param=f"{place}.source.{field}")
