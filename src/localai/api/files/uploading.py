"""/v1/uploads: a large file in parts."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.files.form import Form
from localai.api.files.stored import Expiry, purpose
from localai.api.openai.fields import Body, Whole
from localai.api.replies import json_reply
from localai.core.caller import Caller
from localai.service.files import Details
from localai.service.uploads import Uploads
from localai.storage.objects import Stored

PARTS = 10_000
"""Parts of one upload."""


class UploadBody(Body):
    """A request to begin an upload. Fields this server does not know are ignored."""

    filename: Annotated[str, Field(min_length=1, max_length=1024)]
    purpose: Annotated[str, Field(max_length=32)]
    bytes: Annotated[Whole, Field(ge=0)]
    mime_type: Annotated[str, Field(max_length=256)] = "application/octet-stream"
    expires_after: Expiry | None = None


class CompletionBody(Body):
    """Which parts make the file, in order."""

    part_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=PARTS)]
    md5: Annotated[str, Field(max_length=64)] | None = None


class Uploading:
    """The handlers of uploads."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def add(self, request: Request, caller: Caller) -> Response:
        """Begin an upload."""
        body = await read(request, UploadBody)
        lifetime = None if body.expires_after is None else float(body.expires_after.seconds)
        about = Details(filename=body.filename, purpose=purpose(body.purpose), lifetime=lifetime)
        return json_reply(_shown(await self._uploads.add(caller.owner, about, body.bytes, body.mime_type)))

    async def add_part(self, request: Request, caller: Caller) -> Response:
        """Store a part, which is the field `data` of a form."""
        form = Form(request, "data")
        stored = await self._uploads.add_part(caller.owner, request.path_params["upload"], form.file())
        return json_reply({name: value for name, value in stored.payload.items() if name != "bytes"})

    async def complete(self, request: Request, caller: Caller) -> Response:
        """Make the file."""
        body = await read(request, CompletionBody)
        identifier = request.path_params["upload"]
        return json_reply(_shown(await self._uploads.complete(caller.owner, identifier, body.part_ids, body.md5)))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Drop an upload."""
        return json_reply(_shown(await self._uploads.cancel(caller.owner, request.path_params["upload"])))


def _shown(stored: Stored) -> dict[str, Any]:
    return {name: value for name, value in stored.payload.items() if name not in {"lifetime", "mime_type"}}
