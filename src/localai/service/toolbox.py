"""The tools of servers, under the names that a model calls them by; every call is a line of the audit stream."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, cast

import msgspec

from localai.core.caller import Caller
from localai.core.errors import InvalidRequest
from localai.core.task import Call, Tool, Value
from localai.observe.logs import get
from localai.service.mcpclient import Result

log = get("localai.audit")

TOOLS = 256
"""Tools of one request, the client's and the servers' together."""


class Calling(Value, frozen=True):
    """The model asks for a call of a server's tool; `arguments` is JSON text."""

    id: str
    server: str
    tool: str
    arguments: str


class Called(Value, frozen=True):
    """That call ended; `error`: it failed, and `output` says how."""

    id: str
    server: str
    tool: str
    arguments: str
    output: str
    error: bool


class Server(Protocol):
    """Somebody who has tools; `mcpclient.Session` is one."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Its tools."""
        ...

    async def call(self, tool: str, arguments: dict[str, object]) -> Result:
        """Call one of them; whatever goes wrong is a result."""
        ...


class Owned(Value, frozen=True):
    """A server's tool as the model sees it: `tool.name` is its name in this request, `name` that on the server."""

    tool: Tool
    server: int
    name: str


class Toolbox:
    """The tools of some servers under names of which each is there once."""

    def __init__(
        self,
        servers: Sequence[Server],
        taken: Iterable[str] = (),
        allowed: Mapping[str, Sequence[str] | None] | None = None,
    ) -> None:
        """Collect the tools.

        A tool keeps its name, unless the client or an earlier server has one of that name: then it is SERVER_NAME.

        Args:
            servers: Where they are called.
            taken: Names of the client's own tools.
            allowed: By server, the only tools to offer; None, or a server that is left out: all.

        Raises:
            InvalidRequest: There are more than a request may have.
        """
        self._servers = list(servers)
        self._owned: dict[str, Owned] = {}
        names = set(taken)
        for number, server in enumerate(self._servers):
            wanted = (allowed or {}).get(server.name)
            for tool in server.tools:
                if wanted is not None and tool.name not in wanted:
                    continue
                name = tool.name if tool.name not in names else f"{server.name}_{tool.name}"
                if name not in names:
                    names.add(name)
                    shown = msgspec.structs.replace(tool, name=name)
                    self._owned[name] = Owned(tool=shown, server=number, name=tool.name)
        if len(names) > TOOLS:
            raise InvalidRequest(f"There are more than {TOOLS} tools; choose with `allowed_tools`.", param="tools")

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools as models see them."""
        return tuple(owned.tool for owned in self._owned.values())

    def holds(self, name: str) -> bool:
        """Whether a tool of that name is one of the servers'."""
        return name in self._owned

    def calling(self, call: Call) -> Calling:
        """What a call of the model means."""
        owned = self._owned[call.name]
        server = self._servers[owned.server].name
        return Calling(id=call.id, server=server, tool=owned.name, arguments=call.arguments)

    async def call(self, caller: Caller, call: Call) -> Called:
        """Make a call, and note it in the audit stream."""
        calling, owned = self.calling(call), self._owned[call.name]
        began = time.monotonic()
        arguments = _arguments(call.arguments)
        if arguments is None:
            result = Result(text="The arguments are not a JSON object.", error=True)
        else:
            result = await self._servers[owned.server].call(owned.name, arguments)
        log.info(
            "tool called",
            caller=caller.id,
            server=calling.server,
            tool=calling.tool,
            outcome="error" if result.error else "ok",
            seconds=round(time.monotonic() - began, 3),
            size=len(result.text),
        )
        return Called(
            **msgspec.structs.asdict(calling),
            output=result.text,
            error=result.error,
        )


def _arguments(text: str) -> dict[str, object] | None:
    try:
        found: object = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", found) if isinstance(found, dict) else None
