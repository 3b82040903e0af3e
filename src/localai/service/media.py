"""Images and sound of a request: from `data:` URLs, base64 and addresses to bytes of a known format."""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable

from localai.core.errors import InvalidRequest, PayloadTooLarge

LIMIT = 20 * 2**20
"""Bytes of one image or sound."""
OFFLOAD = 256 * 1024
"""Characters of base64 from which on decoding leaves the event loop."""

Fetch = Callable[[str, int], Awaitable[bytes]]
"""Gets the bytes of an address, at most so many; the one outbound client with its address rules."""


class Media:
    """Turns what clients send into bytes. Without `fetch`, addresses are refused and only data counts."""

    def __init__(self, fetch: Fetch | None = None, *, limit: int = LIMIT) -> None:
        self._fetch = fetch
        self._limit = limit

    async def image(self, url: str, *, param: str) -> bytes:
        """The bytes of a PNG, JPEG, WebP or GIF file.

        Args:
            url: `data:...;base64,...` or `http(s)://...`.
            param: The field to name in errors.

        Raises:
            InvalidRequest: Not such a URL, not base64, or not such a file.
            PayloadTooLarge: More bytes than the limit.
            FetchRefused: An address that may not be fetched.
        """
        data = await self._bytes(url, param)
        if not _is_image(data):
            raise InvalidRequest("The image must be a PNG, JPEG, WebP or GIF file.", param=param)
        return data

    async def audio(self, text: str, form: str, *, param: str) -> bytes:
        """The bytes of a sound file of the format `form` ("wav" or "mp3"), given as base64 or a `data:` URL.

        Raises:
            InvalidRequest: Not base64, or not a file of that format.
            PayloadTooLarge: More bytes than the limit.
        """
        data = await (self._data(text, param) if text[:5].lower() == "data:" else self._decoded(text, param))
        if not _is_audio(data, form):
            raise InvalidRequest(f"The sound is not a {form.upper()} file.", param=param)
        return data

    async def document(self, text: str, *, param: str) -> bytes:
        """The bytes of a file given as base64 or a `data:` URL, whatever it holds.

        Raises:
            InvalidRequest: Not base64.
            PayloadTooLarge: More bytes than the limit.
        """
        return await (self._data(text, param) if text[:5].lower() == "data:" else self._decoded(text, param))

    async def _bytes(self, url: str, param: str) -> bytes:
        scheme = url[:8].lower()
        if scheme.startswith("data:"):
            return await self._data(url, param)
        if not scheme.startswith(("http://", "https://")):
            raise InvalidRequest("This must be a `data:` URL or an https address.", param=param)
        if self._fetch is None:
            raise InvalidRequest(
                "This server does not fetch addresses; send the file itself as a `data:` URL.", param=param
            )
        data = await self._fetch(url, self._limit)
        return self._bounded(len(data), param) or data

    async def _data(self, url: str, param: str) -> bytes:
        head, comma, text = url.partition(",")
        if not comma or not head[-7:].lower() == ";base64":
            raise InvalidRequest("A `data:` URL must carry base64: `data:TYPE;base64,...`.", param=param)
        return await self._decoded(text, param)

    async def _decoded(self, text: str, param: str) -> bytes:
        self._bounded(len(text) // 4 * 3, param)
        if len(text) < OFFLOAD:
            return _decode(text, param)
        return await asyncio.to_thread(_decode, text, param)

    def _bounded(self, size: int, param: str) -> None:
        if size > self._limit:
            raise PayloadTooLarge(f"A file in a request may have at most {self._limit} bytes.", param=param)


def _decode(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The base64 is not valid.", param=param) from None


def _is_image(data: bytes) -> bool:
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )


def _is_audio(data: bytes, form: str) -> bool:
    if form == "wav":
        return data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    return data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)
