"""The items of what this server does itself: lists of tools, calls, searches, and requests to agree to a call."""

import json
from collections.abc import Sequence
from typing import Any, cast

from localai.api.responses.approvals import failure
from localai.api.responses.frames import Frames
from localai.api.responses.output import Status
from localai.core.task import Tool
from localai.service.search import Found


class Listing:
    """The tools of an MCP server; it is known whole."""

    def __init__(self, frames: Frames, identifier: str, place: int, *, label: str, tools: Sequence[Tool]) -> None:
        self._item = {"id": identifier, "type": "mcp_list_tools", "server_label": label, "tools": described(tools)}
        at = {"item_id": identifier, "output_index": place}
        frames.say("response.output_item.added", output_index=place, item={**self._item, "tools": []})
        frames.say("response.mcp_list_tools.in_progress", **at)
        frames.say("response.mcp_list_tools.completed", **at)
        frames.say("response.output_item.done", output_index=place, item=self._item)

    def close(self, status: Status) -> None:
        """Nothing is left to say."""

    def shown(self, _status: Status) -> dict[str, Any]:
        """The item, which has no status."""
        return self._item


def described(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as a list of them shows them."""
    return [{"name": each.name, "description": each.description, "input_schema": each.parameters} for each in tools]


class Serving:
    """A call of a tool of an MCP server."""

    def __init__(
        self,
        frames: Frames,
        identifier: str,
        place: int,
        *,
        label: str,
        tool: str,
        arguments: str,
        approval: str | None,
    ) -> None:
        self._frames = frames
        self._place = place
        self._at = {"item_id": identifier, "output_index": place}
        self._head = {
            "id": identifier,
            "type": "mcp_call",
            "server_label": label,
            "name": tool,
            "arguments": arguments,
            "approval_request_id": approval,
        }
        self._output: str | None = None
        self._failed = False
        frames.say(
            "response.output_item.added", output_index=place, item={**self.shown("in_progress"), "arguments": ""}
        )
        frames.say("response.mcp_call.in_progress", **self._at)
        frames.say("response.mcp_call_arguments.delta", **self._at, delta=arguments)
        frames.say("response.mcp_call_arguments.done", **self._at, arguments=arguments)

    def end(self, output: str, *, failed: bool) -> None:
        """Take the result."""
        self._output, self._failed = output, failed

    def close(self, status: Status) -> None:
        """End it; without a result it was broken off."""
        if self._output is not None:
            self._frames.say(f"response.mcp_call.{'failed' if self._failed else 'completed'}", **self._at)
        self._frames.say("response.output_item.done", output_index=self._place, item=self.shown(status))

    def shown(self, status: Status) -> dict[str, Any]:
        """The item as it is now."""
        failed = failure(self._output or "") if self._failed else None
        output = None if self._failed else self._output
        return {**self._head, "status": "failed" if self._failed else status, "output": output, "error": failed}


class Searching:
    """A search in vector stores."""

    def __init__(self, frames: Frames, identifier: str, place: int, *, arguments: str, results: bool) -> None:
        self._frames = frames
        self._place = place
        self._at = {"item_id": identifier, "output_index": place}
        self._head = {"id": identifier, "type": "file_search_call", "queries": _queries(arguments)}
        self._results = results
        self._found: Sequence[Found] | None = None
        self._failed = False
        self.id = identifier
        self.told: str | None = None
        """What the model read."""
        frames.say("response.output_item.added", output_index=place, item=self.shown("in_progress"))
        frames.say("response.file_search_call.in_progress", **self._at)
        frames.say("response.file_search_call.searching", **self._at)

    def end(self, told: str, found: Sequence[Found] | None) -> None:
        """Take what was found; None: the search failed."""
        self.told, self._found, self._failed = told, found, found is None

    def close(self, status: Status) -> None:
        """End it; there is no event of its own for a search that failed."""
        if self._found is not None:
            self._frames.say("response.file_search_call.completed", **self._at)
        self._frames.say("response.output_item.done", output_index=self._place, item=self.shown(status))

    def shown(self, status: Status) -> dict[str, Any]:
        """The item as it is now."""
        shown = [_hit(each) for each in self._found] if self._results and self._found is not None else None
        return {**self._head, "status": "failed" if self._failed else status, "results": shown}


def _queries(arguments: str) -> list[str]:
    try:
        given: object = json.loads(arguments)
    except (ValueError, RecursionError):
        return []
    asked = cast("dict[str, object]", given).get("queries") if isinstance(given, dict) else None
    return [one for one in cast("list[object]", asked) if isinstance(one, str)] if isinstance(asked, list) else []


def _hit(found: Found) -> dict[str, Any]:
    return {
        "file_id": found.file,
        "filename": found.filename,
        "score": found.score,
        "text": found.text,
        "attributes": found.attributes,
        "vector_store_id": found.store,
    }


class Asking:
    """A call of a tool of an MCP server that waits for somebody to agree."""

    def __init__(self, frames: Frames, identifier: str, place: int, *, label: str, tool: str) -> None:
        self._frames = frames
        self._place = place
        self._head = {"id": identifier, "type": "mcp_approval_request", "server_label": label, "name": tool}
        self._arguments: list[str] = []
        frames.say("response.output_item.added", output_index=place, item=self.shown("in_progress"))

    def say(self, arguments: str) -> None:
        """Add a piece of the arguments; they are told at its end."""
        self._arguments.append(arguments)

    def close(self, status: Status) -> None:
        """End it."""
        self._frames.say("response.output_item.done", output_index=self._place, item=self.shown(status))

    def shown(self, _status: Status) -> dict[str, Any]:
        """The item as it is now; it has no status."""
        return {**self._head, "arguments": "".join(self._arguments)}
