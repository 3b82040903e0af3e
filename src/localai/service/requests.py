"""The requests of a batch as a file of JSON lines: read piece by piece, every mistake with its line."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import orjson

from localai.core.task import Value

LINES = 50_000
"""Requests of one batch."""
LINE = 8 * 2**20
"""Bytes of one line."""
NAME = 512
"""Characters of a `custom_id`."""
MISTAKES = 100
"""Mistakes that are told of one file."""
_BLOCK = 500

Request = tuple[int, str, str]
"""Number, `custom_id` and body."""


class Mistake(Value, frozen=True):
    """What is wrong with a line (or, without a number, with the file)."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Requests:
    """Reads one file; afterwards `mistakes` tells whether it can be run."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._names: set[str] = set()
        self.count = 0
        self.mistakes: list[Mistake] = []

    async def read(self, blocks: AsyncIterator[bytes]) -> AsyncGenerator[list[Request], None]:
        """The requests in groups, as long as there is no mistake; lines are parsed in a thread."""
        number = 0
        async for lines in _grouped(blocks):
            found = await asyncio.to_thread(self._check, number, lines)
            number += len(lines)
            if len(self.mistakes) >= MISTAKES or self.count > LINES:
                break
            if found and not self.mistakes:
                yield found
        if self.count > LINES:
            self.mistakes = [Mistake(code="too_many_tasks", message=f"A batch has at most {LINES} requests.")]
        elif not self.count and not self.mistakes:
            self.mistakes = [Mistake(code="empty_file", message="The file has no requests.")]

    def _check(self, number: int, lines: list[bytes]) -> list[Request]:
        found: list[Request] = []
        for number, line in enumerate(lines, number + 1):  # noqa: B020, PLR1704 - goes on from the given number
            if not line.strip():
                continue
            self.count += 1
            checked = self._request(number, line)
            if isinstance(checked, Mistake):
                self.mistakes.append(checked)
                if len(self.mistakes) >= MISTAKES:
                    break
            else:
                found.append(checked)
        return found

    def _request(self, number: int, line: bytes) -> Request | Mistake:
        def wrong(code: str, message: str, param: str | None = None) -> Mistake:
            return Mistake(code=code, message=message, line=number, param=param)

        if len(line) > LINE:
            return wrong("line_too_long", f"A line has at most {LINE} bytes.")
        try:
            given = orjson.loads(line)
        except orjson.JSONDecodeError:
            return wrong("invalid_json_line", "This line is not valid JSON.")
        if not isinstance(given, dict):
            return wrong("invalid_json_line", "This line is not a JSON object.")
        fields = cast("dict[str, Any]", given)
        name = fields.get("custom_id")
        if not isinstance(name, str) or not 0 < len(name) <= NAME:
            return wrong("invalid_custom_id", f"`custom_id` must be a text of 1 to {NAME} characters.", "custom_id")
        if name in self._names:
            return wrong("duplicate_custom_id", "The `custom_id` of this line is that of an earlier one.", "custom_id")
        self._names.add(name)
        if fields.get("method") != "POST":
            return wrong("invalid_method", "`method` must be `POST`.", "method")
        if fields.get("url") != self._endpoint:
            return wrong("mismatched_url", f"`url` must be the endpoint of the batch, `{self._endpoint}`.", "url")
        if not isinstance(fields.get("body"), dict):
            return wrong("invalid_body", "`body` must be a JSON object.", "body")
        return number, name, orjson.dumps(fields["body"]).decode()


async def _grouped(blocks: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    """The lines of a file in groups; one that is too long comes cut, one byte longer than a line may be."""
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        rest = rest[: LINE + 1]
        for start in range(0, len(lines), _BLOCK):
            yield lines[start : start + _BLOCK]
    yield [rest]
