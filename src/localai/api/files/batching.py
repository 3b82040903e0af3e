"""/v1/batches: a file of requests that are answered in their own time, and the files of their results."""

import hashlib
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.dialect import shape
from localai.api.files.query import listing, query
from localai.api.files.stored import Expiry
from localai.api.openai.fields import Body, Seconds
from localai.api.replies import json_reply
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, from_code
from localai.service.batches import Batches
from localai.storage.lines import Line
from localai.storage.objects import Stored

DAY = 86400.0
"""Seconds of the longest window."""

_UNDONE = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed before the batch was cancelled."),
}


def _window(given: float) -> float:
    if not 1 <= given <= DAY:
        raise PydanticCustomError("window", "must be a time from `1s` to `24h`")
    return given


def metadata(given: dict[str, str]) -> dict[str, str]:
    """What clients note at their objects.

    Raises:
        PydanticCustomError: There are more than 16, or one is too long.
    """
    if len(given) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in given.items()):
        raise PydanticCustomError("metadata", "may hold 16 texts of at most 512 characters, with keys of at most 64")
    return given


Metadata = Annotated[dict[str, str], AfterValidator(metadata)]


class BatchBody(Body):
    """A request to begin a batch. Fields this server does not know are ignored."""

    input_file_id: Annotated[str, Field(max_length=64)]
    endpoint: str
    completion_window: Annotated[Seconds, AfterValidator(_window)]
    metadata: Metadata | None = None
    output_expires_after: Expiry | None = None


class Batching:
    """The handlers of batches."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def add(self, request: Request, caller: Caller) -> Response:
        """Begin a batch."""
        body = await read(request, BatchBody)
        if body.endpoint not in self._batches.endpoints:
            known = ", ".join(f"`{endpoint}`" for endpoint in self._batches.endpoints)
            raise InvalidRequest(f"A batch can ask these endpoints: {known}.", param="endpoint")
        details = {
            "metadata": body.metadata,
            "lifetime": None if body.output_expires_after is None else body.output_expires_after.seconds,
            "window": "24h" if body.completion_window == DAY else f"{body.completion_window:g}s",
        }
        stored = await self._batches.add(
            caller, body.endpoint, file=body.input_file_id, window=body.completion_window, details=details
        )
        return json_reply(await self._shown(stored))

    async def page(self, request: Request, caller: Caller) -> Response:
        """List batches."""
        asked = query(request, default=20, most=100)
        found, more = await self._batches.page(caller.owner, limit=asked.limit, after=asked.after)
        return json_reply(listing([await self._shown(stored) for stored in found], more=more))

    async def one(self, request: Request, caller: Caller) -> Response:
        """Describe a batch."""
        return json_reply(await self._shown(await self._batches.get(caller.owner, request.path_params["batch"])))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Run no more requests of a batch."""
        return json_reply(await self._shown(await self._batches.cancel(caller.owner, request.path_params["batch"])))

    async def _shown(self, stored: Stored) -> dict[str, Any]:
        """A batch in OpenAI's shape."""
        counts = await self._batches.counts(stored)
        told = stored.payload
        times = {name: int(time) for name, time in told["times"].items()}
        mistakes = told.get("errors")
        done, failed = counts.get("done", 0), counts.get("failed", 0) + counts.get("expired", 0)
        return {
            "id": stored.id,
            "object": "batch",
            "endpoint": told["endpoint"],
            "errors": None if mistakes is None else {"object": "list", "data": mistakes},
            "input_file_id": told["file"],
            "completion_window": told["window"],
            "status": stored.state,
            "output_file_id": told.get("output"),
            "error_file_id": told.get("error"),
            "created_at": times["created"],
            "in_progress_at": times.get("in_progress"),
            "expires_at": times["expires"],
            "finalizing_at": times.get("finalizing"),
            "completed_at": times.get("completed"),
            "failed_at": times.get("failed"),
            "expired_at": times.get("expired"),
            "cancelling_at": times.get("cancelling"),
            "cancelled_at": times.get("cancelled"),
            "request_counts": {"total": sum(counts.values()), "completed": done, "failed": failed},
            "metadata": told["metadata"],
        }


def written(line: Line, batch: str) -> bytes:
    """A line of a file of results."""
    digest = hashlib.sha256(f"{batch}/{line.number}".encode()).hexdigest()
    head = {"id": f"batch_req_{digest[:32]}", "custom_id": line.name}
    if line.result is None:
        code, message = _UNDONE[line.state]
        return orjson.dumps({**head, "response": None, "error": {"code": code, "message": message}})
    result = orjson.loads(line.result)
    body = result["body"] if line.state == "done" else _failure(result["error"])
    response = {"status_code": result["status"], "request_id": result["request"], "body": body}
    return orjson.dumps({**head, "response": response, "error": None})


def _failure(error: dict[str, Any]) -> dict[str, Any]:
    return shape(from_code(error["code"], error["message"], param=error["param"]))
