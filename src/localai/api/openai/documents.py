"""Files in a message: text files become text that the model reads, with their name in front."""

import asyncio
from collections.abc import Awaitable, Callable

from localai.api.openai.fields import Body
from localai.core.errors import InvalidRequest, PayloadTooLarge
from localai.core.task import TextPart
from localai.service.extract import UnreadableFile, text_of
from localai.service.media import Media

LIMIT = 2 * 2**20
"""Bytes of one file in a message: more fits hardly any context."""

Stored = Callable[[str], Awaitable[tuple[str, bytes]]]
"""Gets the name and the bytes of a file that the caller has stored, by its id."""


class FileBody(Body):
    """A file: base64 (plain or as a `data:` URL) with its name, or the id of a stored one."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


async def part(file: FileBody, place: str, media: Media, stored: Stored | None) -> TextPart:
    """The file as text.

    Raises:
        InvalidRequest: Neither data nor an id, or a file that is not text.
        PayloadTooLarge: It is larger than LIMIT.
        NotFound: There is no such stored file.
    """
    name, data = await _content(file, place, media, stored)
    if len(data) > LIMIT:
        raise PayloadTooLarge(f"A file in a message may have at most {LIMIT} bytes.", param=place)
    try:
        text = await asyncio.to_thread(text_of, data, name)
    except UnreadableFile as error:
        raise UnreadableFile(error.message, param=place) from None
    return TextPart(text=f"File `{name}`:\n\n{text}\n\n")


async def _content(file: FileBody, place: str, media: Media, stored: Stored | None) -> tuple[str, bytes]:
    if file.file_data is not None:
        return file.filename or "file", await media.document(file.file_data, param=f"{place}.file_data")
    if file.file_id is None:
        raise InvalidRequest("A file needs `file_data` or `file_id`.", param=place)
    if stored is None:
        raise InvalidRequest(
            "This server keeps no files; send the file itself in `file_data`.", param=f"{place}.file_id"
        )
    name, data = await stored(file.file_id)
    return file.filename or name, data
