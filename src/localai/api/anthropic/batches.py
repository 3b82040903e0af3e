"""/v1/messages/batches: many requests in one body, answered in their own time."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from localai.api.anthropic import paging
from localai.api.anthropic.models import named
from localai.api.body import read
from localai.api.dialect import shape
from localai.api.openai.fields import Body
from localai.api.replies import LineStream, json_reply
from localai.core.caller import Caller
from localai.core.errors import Conflict, InvalidRequest, from_code
from localai.service.batches import Batches
from localai.storage.lines import Line
from localai.storage.objects import Stored

ENDPOINT = "/v1/messages"
"""What every request of these batches asks."""
WINDOW = 86400.0
"""Seconds after which what has not run is given up."""
REQUESTS = 10_000
"""Requests of one batch."""

_UNDONE = {"cancelled": "canceled", "expired": "expired"}


class RequestBody(Body):
    """One request: the client's name for it, and the body it would be sent with by itself."""

    custom_id: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    params: dict[str, Any]


class BatchBody(Body):
    """Requests to be answered; whether each is valid is found out when its turn comes."""

    requests: Annotated[list[RequestBody], Field(min_length=1, max_length=REQUESTS)]


class Results(LineStream):
    """Results, one JSON document a line."""

    media_type = "application/x-jsonl"


class Batching:
    """The handlers of batches."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def add(self, request: Request, caller: Caller) -> Response:
        """Begin a batch."""
        body = await read(request, BatchBody)
        known: set[str] = set()
        for index, each in enumerate(body.requests):
            if each.custom_id in known:
                raise InvalidRequest(
                    f"The `custom_id` `{each.custom_id}` is there twice.", param=f"requests.{index}.custom_id"
                )
            known.add(each.custom_id)
        requests = [(each.custom_id, orjson.dumps(each.params).decode()) for each in body.requests]
        stored = await self._batches.add(caller, ENDPOINT, requests=requests, window=WINDOW, details={})
        return await self._told(request, stored)

    async def page(self, request: Request, caller: Caller) -> Response:
        """List batches, the newest first."""
        wanted = paging.asked(request)
        if wanted.before:
            found, more = await self._batches.page(caller.owner, limit=wanted.limit, after=wanted.before, order="asc")
            found.reverse()
        else:
            found, more = await self._batches.page(caller.owner, limit=wanted.limit, after=wanted.after)
        rows = [await self._shown(stored) for stored in found]
        return json_reply(paging.page(rows, more=more), headers=named(request))

    async def one(self, request: Request, caller: Caller) -> Response:
        """Describe a batch."""
        return await self._told(request, await self._batches.get(caller.owner, _id(request)))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Run no more requests of a batch."""
        return await self._told(request, await self._batches.cancel(caller.owner, _id(request)))

    async def remove(self, request: Request, caller: Caller) -> Response:
        """Forget a batch that has ended."""
        await self._batches.remove(caller.owner, _id(request))
        return json_reply({"id": _id(request), "type": "message_batch_deleted"}, headers=named(request))

    async def results(self, request: Request, caller: Caller) -> Response:
        """The results of a batch that has ended, in the order of its requests."""
        stored = await self._batches.get(caller.owner, _id(request))
        if _status(stored) != "ended":
            raise Conflict("This batch has not ended; its results are there when `processing_status` is `ended`.")
        return Results(self._lines(caller.owner, stored.id), headers=named(request))

    async def _lines(self, owner: str, batch: str) -> AsyncGenerator[bytes, None]:
        async for line in self._batches.results(owner, batch):
            yield orjson.dumps({"custom_id": line.name, "result": _result(line)}) + b"\n"

    async def _told(self, request: Request, stored: Stored) -> Response:
        return json_reply(await self._shown(stored), headers=named(request))

    async def _shown(self, stored: Stored) -> dict[str, Any]:
        """A batch in Anthropic's shape."""
        counts = await self._batches.counts(stored)
        times, status = stored.payload["times"], _status(stored)
        return {
            "id": stored.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": {
                "processing": counts.get("pending", 0),
                "succeeded": counts.get("done", 0),
                "errored": counts.get("failed", 0),
                "canceled": counts.get("cancelled", 0),
                "expired": counts.get("expired", 0),
            },
            "created_at": _time(times["created"]),
            "expires_at": _time(times["expires"]),
            "ended_at": _time(times.get(stored.state)) if status == "ended" else None,
            "cancel_initiated_at": _time(times.get("cancelling")),
            "archived_at": None,
            # Clients put it behind the address they know this server by.
            "results_url": f"{ENDPOINT}/batches/{stored.id}/results" if status == "ended" else None,
        }


def _id(request: Request) -> str:
    return str(request.path_params["batch"])


def _status(stored: Stored) -> str:
    match stored.state:
        case "validating" | "in_progress" | "finalizing":
            return "in_progress"
        case "cancelling":
            return "canceling"
        case _:
            return "ended"


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _result(line: Line) -> dict[str, Any]:
    if line.result is None:
        return {"type": _UNDONE[line.state]}
    result = orjson.loads(line.result)
    if line.state == "done":
        return {"type": "succeeded", "message": result["body"]}
    told = result["error"]
    error = from_code(told["code"], told["message"], param=told["param"])
    return {"type": "errored", "error": shape(error, "anthropic", result["request"])}
