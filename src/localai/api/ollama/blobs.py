"""HEAD and POST /api/blobs/DIGEST: the files that new models are made of."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from localai.core.caller import Caller
from localai.core.errors import NotFound
from localai.service.intake import LARGEST, Intake

LARGE = {r"/api/blobs/[^/]+": LARGEST}
"""Paths whose bodies are written to the disk as they come, with their limit in bytes."""


class Uploads:
    """The handlers."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def check(self, request: Request, caller: Caller) -> Response:
        """200 when the file is here, 404 when it is not."""
        if not await self._intake.has(request.path_params["digest"]):
            raise NotFound("This file is not here; upload it with POST.")
        return Response()

    async def take(self, request: Request, caller: Caller) -> Response:
        """Take the file: 201; 200 when it was here already."""
        digest = request.path_params["digest"]
        if await self._intake.has(digest):
            async for _ in request.stream():
                pass  # a client that is sending does not read our answer before it has sent all
            return Response()
        length = request.headers.get("content-length", "")
        await self._intake.take(digest, _chunks(request), int(length) if length.isdecimal() else None)
        return Response(status_code=201)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk
