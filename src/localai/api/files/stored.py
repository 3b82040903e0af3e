"""/v1/files: what clients store, as a form with the file in it, and get back as it was."""

import re
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from localai.api.files.form import Form
from localai.api.files.query import listing, query
from localai.api.openai.fields import Body, Whole
from localai.api.replies import json_reply
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.service.files import Details, Files

LEAST, MOST = 3600, 2_592_000
"""Seconds a file may be kept that is to expire: an hour to thirty days."""

_PURPOSE = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Expiry(Body):
    """When a file is to go: so many seconds after it was made."""

    anchor: Literal["created_at"]
    seconds: Annotated[Whole, Field(ge=LEAST, le=MOST)]


class Filed:
    """The handlers of files."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def add(self, request: Request, caller: Caller) -> Response:
        """Store the file of a form."""
        form = Form(request, "file")

        async def about() -> Details:
            fields = await form.rest()
            return Details(filename=form.filename, purpose=purpose(fields.get("purpose")), lifetime=_lifetime(fields))

        stored = await self._files.receive(caller.owner, form.file(), about)
        return json_reply(stored.payload)

    async def page(self, request: Request, caller: Caller) -> Response:
        """List files."""
        asked = query(request, default=10_000, most=10_000)
        wanted = request.query_params.get("purpose") or None
        found, more = await self._files.page(caller.owner, purpose=wanted, **asked._asdict())
        return json_reply(listing([stored.payload for stored in found], more=more))

    async def one(self, request: Request, caller: Caller) -> Response:
        """Describe a file."""
        return json_reply((await self._files.get(caller.owner, request.path_params["file"])).payload)

    async def content(self, request: Request, caller: Caller) -> Response:
        """Send a file as it was stored; a browser saves it and does not show it."""
        stored = await self._files.get(caller.owner, request.path_params["file"])
        return StreamingResponse(
            self._files.blocks(stored),
            media_type="application/octet-stream",
            headers={
                "content-length": str(stored.payload["bytes"]),
                "content-disposition": f"attachment; filename*=UTF-8''{quote(stored.payload['filename'], safe='')}",
            },
        )

    async def remove(self, request: Request, caller: Caller) -> Response:
        """Delete a file."""
        identifier = request.path_params["file"]
        await self._files.remove(caller.owner, identifier)
        return json_reply({"id": identifier, "object": "file", "deleted": True})


def purpose(given: str | None) -> str:
    """What a file is for: any word; OpenAI's are `assistants`, `batch`, `fine-tune`, `vision`, `user_data`, `evals`.

    Raises:
        InvalidRequest: It is missing or not a word.
    """
    if given is None or _PURPOSE.fullmatch(given) is None:
        raise InvalidRequest("`purpose` must say in a word what the file is for, such as `user_data`.", param="purpose")
    return given


def _lifetime(fields: dict[str, str]) -> float | None:
    seconds, anchor = fields.get("expires_after[seconds]"), fields.get("expires_after[anchor]")
    if seconds is None and anchor is None:
        return None
    if anchor != "created_at":
        raise InvalidRequest("`expires_after[anchor]` must be `created_at`.", param="expires_after.anchor")
    number = int(seconds) if seconds and re.fullmatch("[0-9]{1,9}", seconds) else 0
    if not LEAST <= number <= MOST:
        message = f"`expires_after[seconds]` must be a number from {LEAST} to {MOST}."
        raise InvalidRequest(message, param="expires_after.seconds")
    return number
