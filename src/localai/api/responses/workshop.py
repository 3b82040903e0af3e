"""Where the tools of a request that this server calls itself are got ready, and a response is made with them."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import msgspec

from localai.api.responses.approvals import Agreed
from localai.api.responses.hosted import Hosted, Shelf, Wish
from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, NotFound
from localai.core.task import Call, Chat, Generate, Message, TextPart, Tool, ToolChoice
from localai.service import toolloop
from localai.service.filesearch import FileSearch
from localai.service.gate import Gate
from localai.service.mcpclient import McpClient
from localai.service.remotes import Remotes
from localai.service.toolbox import Called, Calling, Server
from localai.service.vectors import Vectors


class Opened(NamedTuple):
    """The tools are ready."""

    listings: tuple[tuple[str, tuple[Tool, ...]], ...]
    """The offered tools of each MCP server."""
    guarded: dict[str, Calling]
    """What waits for an agreement, by the name that the model knows it by."""
    agreed: frozenset[str]
    """The ids of calls that were agreed to."""
    search: FileSearch | None


Step = toolloop.Batch | Calling | Called | Opened
"""What happens while a response is made."""


class Asked(NamedTuple):
    """What is to be answered."""

    model: str | None
    task: Generate
    hosted: Hosted
    agreed: tuple[Agreed, ...]
    most: int | None
    """Calls that are made at most."""
    keep_alive: float | None = None


class Workshop:
    """Offers what the administrator configured, and the caller's own vector stores."""

    def __init__(self, vectors: Vectors | None = None, client: McpClient | None = None) -> None:
        """Take what there is; what is not given is not offered."""
        self._vectors = vectors
        self._client = client or McpClient(Remotes())

    async def check(self, caller: Caller, hosted: Hosted, agreed: Iterable[Agreed] = ()) -> None:
        """See whether all there is to it is there, without asking any server.

        Raises:
            InvalidRequest: A server is not configured, or a call was agreed to whose server is not among the tools.
            NotFound: A vector store is not there, or not the caller's.
        """
        for remote in hosted.remotes:
            param = f"{remote.place}.server_label"
            try:
                self._client.remotes.get(remote.label, param)
            except NotFound as error:
                raise InvalidRequest(
                    f"{error.message} Servers of a request (`server_url`, `connector_id`) are never asked.", param=param
                ) from None
        labels = {remote.label for remote in hosted.remotes}
        for each in agreed:
            if each.label not in labels:
                raise InvalidRequest(
                    f"The server `{each.label[:64]}` of this call is not among `tools`.",
                    param=f"{each.place}.approval_request_id",
                )
        if hosted.shelf is not None:
            await self._have(caller, hosted.shelf)

    async def _have(self, caller: Caller, shelf: Shelf) -> None:
        if self._vectors is None:
            raise InvalidRequest("This server keeps no vector stores.", param=shelf.place)
        for place, store in enumerate(shelf.stores):
            try:
                await self._vectors.stores.get(caller.owner, store)
            except NotFound as error:
                raise NotFound(error.message, param=f"{shelf.place}.vector_store_ids.{place}") from None

    async def offered(self, caller: Caller, chat: Chat, hosted: Hosted) -> Chat:
        """A prompt with all its tools, as the model reads it.

        Raises:
            LocalAIError: A server does not answer.
        """
        async with self._open(caller, chat, hosted, None) as (gate, _):
            chosen = _ruled(chat, gate, hosted.wish)
            return msgspec.structs.replace(chosen, tools=(*chosen.tools, *gate.tools))

    async def make(self, performing: toolloop.Performs, caller: Caller, asked: Asked) -> AsyncGenerator[Step, None]:
        """Make a response; sessions with servers are open for as long as it takes.

        Raises:
            LocalAIError: A server does not answer, or whatever the model ends with.
        """
        task = asked.task
        if not isinstance(task.prompt, Chat):
            raise InvalidRequest("Tools need a conversation.")
        async with self._open(caller, task.prompt, asked.hosted, asked.most) as (gate, search):
            chat = _ruled(task.prompt, gate, asked.hosted.wish)
            yield Opened(_listings(gate, asked.hosted), gate.guarded, frozenset(e.id for e in asked.agreed), search)
            for each in asked.agreed:
                call = _call(gate, each)
                yield gate.calling(call)
                called = await gate.call(caller, call)
                yield called
                chat = _told(chat, called)
            task = msgspec.structs.replace(task, prompt=chat)
            steps = toolloop.run(performing, caller, asked.model, task, gate, keep_alive=asked.keep_alive)
            async with aclosing(steps):
                async for step in steps:
                    yield step

    @asynccontextmanager
    async def _open(
        self, caller: Caller, chat: Chat, hosted: Hosted, most: int | None
    ) -> AsyncGenerator[tuple[Gate, FileSearch | None]]:
        taken = [tool.name for tool in chat.tools]
        async with self._client.sessions([remote.label for remote in hosted.remotes], "tools") as sessions:
            search = self._search(caller, hosted.shelf)
            servers: list[Server] = [*sessions] if search is None else [search, *sessions]
            allowed = {remote.label: remote.allowed for remote in hosted.remotes}
            yield Gate(servers, taken, allowed, {remote.label: remote.free for remote in hosted.remotes}, most), search

    def _search(self, caller: Caller, shelf: Shelf | None) -> FileSearch | None:
        if shelf is None or self._vectors is None:
            return None
        return FileSearch(
            self._vectors,
            caller,
            shelf.stores,
            condition=shelf.condition,
            limit=shelf.limit,
            threshold=shelf.ranking.score_threshold or 0.0,
            weights=shelf.ranking.weights(),
        )


def _listings(gate: Gate, hosted: Hosted) -> tuple[tuple[str, tuple[Tool, ...]], ...]:
    """The offered tools of each MCP server, under their names there."""
    tools = {tool.name: tool for tool in gate.tools}
    return tuple(
        (remote.label, tuple(_named(gate, tools[name]) for name in gate.names(remote.label)))
        for remote in hosted.remotes
    )


def _named(gate: Gate, tool: Tool) -> Tool:
    known = gate.calling(Call(id="", name=tool.name, arguments=""))
    return msgspec.structs.replace(tool, name=known.tool)


def _ruled(chat: Chat, gate: Gate, wish: Wish | None) -> Chat:
    """The prompt with the rule for choosing among tools of both kinds; calls of two kinds never come at once."""
    choice = chat.tool_choice
    if wish is not None:
        choice = ToolChoice(mode="required", name=_wanted(chat, gate, wish))
    elif choice.mode == "required" and not (chat.tools or gate.tools):
        raise InvalidRequest("A tool call is required, but none of the servers has a tool.", param="tool_choice")
    return msgspec.structs.replace(chat, tool_choice=choice, parallel_calls=chat.parallel_calls and not gate.mixed)


def _wanted(chat: Chat, gate: Gate, wish: Wish) -> str | None:
    """The one tool that is required; None where any will do."""
    names = gate.names(wish.server, wish.tool)
    if not names:
        raise InvalidRequest("`tool_choice` asks for a tool that its server does not offer.", param="tool_choice")
    if len(names) == 1:
        return names[0]
    if chat.tools or len(names) < len(gate.tools):
        raise InvalidRequest(
            f"`tool_choice` asks for any of {len(names)} tools of a server, and there are others: give its `name`.",
            param="tool_choice.name",
        )
    return None


def _call(gate: Gate, agreed: Agreed) -> Call:
    """A call that was agreed to.

    Raises:
        InvalidRequest: Its tool is not offered (any more).
    """
    names = gate.names(agreed.label, agreed.tool)
    if not names:
        raise InvalidRequest(
            f"The server `{agreed.label[:64]}` offers no tool `{agreed.tool[:64]}` here.",
            param=f"{agreed.place}.approval_request_id",
        )
    return Call(id=agreed.id, name=names[0], arguments=agreed.arguments)


def _told(chat: Chat, called: Called) -> Chat:
    """The conversation, with the result of a call that was agreed to in its place."""
    said = (TextPart(text=called.output),)
    messages: Sequence[Message] = [
        msgspec.structs.replace(each, content=said) if each.role == "tool" and each.call_id == called.id else each
        for each in chat.messages
    ]
    return msgspec.structs.replace(chat, messages=tuple(messages))
