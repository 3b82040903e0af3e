"""A multipart body, read as it comes: small fields are collected, one file is passed on piece by piece."""

import logging
from collections import deque
from collections.abc import AsyncGenerator

from starlette.requests import Request

from localai.core.errors import InvalidRequest, UnsupportedMediaType

FIELDS = 64
"""Fields of one form."""
FIELD = 8192
"""Bytes of one field."""
HEADERS = 8
"""Headers of one part."""
HEADER = 4096
"""Bytes of one header."""

_BOUNDARY = 200
"""Characters of a boundary; the standard says 70."""


class Form:
    """The form of one request. First `file`, read to its end, then `rest`."""

    def __init__(self, request: Request, name: str) -> None:
        """Prepare to read.

        Args:
            request: Whose body it is.
            name: The field that holds the file.

        Raises:
            UnsupportedMediaType: The body is no form.
            InvalidRequest: Its boundary is missing or not one.
        """
        self._name = name
        self._parts = _Parts(_boundary(request.headers.get("content-type", "")))
        self._stream = request.stream()
        self._field: str | None = None
        self._value = bytearray()
        self.fields: dict[str, str] = {}
        """The fields read so far."""
        self.filename = ""
        """What the client calls the file; untrusted."""

    async def file(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the file; fields that stand before it are collected on the way.

        Raises:
            InvalidRequest: There is no file, or the form is malformed.
        """
        while (happened := await self._next()) is not None:
            match happened:
                case ("begin", (name, filename)) if name == self._name:
                    self.filename = filename
                    break
                case _:
                    self._collect(happened)
        else:
            raise InvalidRequest(f"The form has no field `{self._name}` with a file.", param=self._name)
        while (happened := await self._next()) is not None:
            match happened:
                case ("data", bytes() as data):
                    yield data
                case _:
                    return

    async def rest(self) -> dict[str, str]:
        """All fields, after those behind the file were read.

        Raises:
            InvalidRequest: There is a second file, or the form is malformed.
        """
        while (happened := await self._next()) is not None:
            match happened:
                case ("begin", (name, _)) if name == self._name:
                    raise InvalidRequest(f"The form has more than one field `{self._name}`.", param=self._name)
                case _:
                    self._collect(happened)
        return self.fields

    def _collect(self, happened: "Happened") -> None:
        match happened:
            case ("begin", (str() as name, _)):
                if len(self.fields) >= FIELDS:
                    raise InvalidRequest(f"The form has more than {FIELDS} fields.")
                self._field, self._value = name, bytearray()
            case ("data", bytes() as data):
                self._value += data
                if len(self._value) > FIELD:
                    raise InvalidRequest(f"A field of the form has more than {FIELD} bytes.")
            case ("end", _) if self._field is not None:
                self.fields[self._field] = _text(bytes(self._value), "A field of the form is not UTF-8.")
                self._field = None
            case _:
                pass

    async def _next(self) -> "Happened | None":
        """What comes next in the form; None after its end."""
        while not self._parts.happened:
            chunk = await anext(self._stream, b"")
            if not chunk:
                if not self._parts.ended:
                    raise InvalidRequest("The form ends before its last boundary.")
                return None
            self._parts.feed(chunk)
        return self._parts.happened.popleft()


Happened = tuple[str, bytes | tuple[str, str]]
"""`begin` with name and file name, `data` with bytes, `end`."""


class _Parts:
    """Tells the parts of a form by what happens in it."""

    def __init__(self, boundary: bytes) -> None:
        from python_multipart.multipart import MultipartParser  # noqa: PLC0415 - only forms need it

        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # errors become answers
        self.happened: deque[Happened] = deque()
        self.ended = False
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_begin": self._begin_header,
                "on_header_field": self._add_name,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
            max_header_count=HEADERS,
            max_header_size=HEADER,
        )

    def feed(self, chunk: bytes) -> None:
        """Read on.

        Raises:
            InvalidRequest: The form is malformed.
        """
        from python_multipart.exceptions import FormParserError  # noqa: PLC0415

        try:
            self._parser.write(chunk)
        except FormParserError:
            raise InvalidRequest("The body is not a well-formed form (multipart/form-data).") from None

    def _begin_header(self) -> None:
        self._header, self._value = bytearray(), bytearray()

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)

    def _begin(self) -> None:
        _, options = _options(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        if b"name" not in options:
            raise InvalidRequest("A part of the form has no name.")
        name = _text(options[b"name"], "The name of a field is not UTF-8.")
        self.happened.append(("begin", (name, options.get(b"filename", b"").decode("utf-8", "replace"))))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.happened.append(("data", data[start:end]))

    def _end(self) -> None:
        self.happened.append(("end", b""))

    def _finish(self) -> None:
        self.ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = _options(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMediaType("Send a form (multipart/form-data) with the file in it.")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _BOUNDARY:
        raise InvalidRequest("The content type of the form has no boundary, or one that is too long.")
    return boundary


def _options(header: str) -> tuple[bytes, dict[bytes, bytes]]:
    from python_multipart.multipart import parse_options_header  # noqa: PLC0415

    return parse_options_header(header)


def _text(data: bytes, wrong: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(wrong) from None
