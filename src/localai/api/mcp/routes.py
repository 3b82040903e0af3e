"""The routes of MCP: our own server at /mcp, and chat with the tools of servers that the administrator configured."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localai.api.asking import Asking
from localai.api.body import read
from localai.api.flow import collect, write
from localai.api.mcp.chat import McpChatBody, answered, chosen, plain, rule
from localai.api.mcp.server import McpServer
from localai.api.openai import chat
from localai.api.openai.documents import LIMIT, Stored
from localai.api.openai.head import head
from localai.api.replies import EventStream, attended, json_reply
from localai.api.table import Row
from localai.core.caller import Caller
from localai.service.files import Files
from localai.service.mcpclient import McpClient
from localai.service.media import Media
from localai.service.perform import Perform

_TAG = "MCP"
_EITHER = ("application/json", "text/event-stream")


def rows(
    server: McpServer, client: McpClient, perform: Perform, media: Media | None = None, files: Files | None = None
) -> list[Row]:
    """The rows of MCP; without `media`, addresses of images are refused, and without `files` what is stored."""
    do = _Handlers(server, client, perform, media or Media(), files)
    return [
        Row(
            "POST",
            "/mcp",
            do.serve,
            "infer",
            "Our models as an MCP server (streamable HTTP, stateless)",
            tag=_TAG,
            media=_EITHER,
        ),
        Row("GET", "/v1/mcp/servers", do.servers, "infer", "The configured MCP servers", tag=_TAG),
        Row(
            "POST",
            "/v1/mcp/chat/completions",
            do.chat,
            "infer",
            "Answer a conversation with the tools of configured MCP servers",
            McpChatBody,
            _TAG,
        ),
    ]


class _Handlers:
    """From HTTP to the library, and to the loop of tools."""

    def __init__(
        self, server: McpServer, client: McpClient, perform: Perform, media: Media, files: Files | None
    ) -> None:
        self._server = server
        self._client = client
        self._asking = Asking(perform)
        self._media = media
        self._files = files

    async def serve(self, request: Request, caller: Caller) -> Response:
        await self._server.ready()
        return _Handed(self._server, caller)

    async def servers(self, request: Request, caller: Caller) -> Response:
        names = self._client.remotes.names
        return json_reply({"object": "list", "data": [{"object": "mcp_server", "name": name} for name in names]})

    async def chat(self, request: Request, caller: Caller) -> Response:
        body = await read(request, McpChatBody)
        servers = chosen(body, self._client)
        rule(body)
        wanted = await chat.asked(plain(body), self._media, self._stored(caller))
        (task,) = wanted.tasks
        first = head("chatcmpl", await self._asking.choose(request, caller, body.model, task))
        perform = self._asking.perform
        numbered = answered(perform, self._client, caller, body, servers, task, wanted.keep_alive)
        if wanted.stream:
            return EventStream(write(numbered, wanted.chunks(first)))
        answers = await attended(request, collect(numbered, 1))
        return json_reply(chat.reply(answers, first, wanted))

    def _stored(self, caller: Caller) -> Stored | None:
        """Gets files of this caller by their ids."""
        files = self._files
        if files is None:
            return None

        async def stored(identifier: str) -> tuple[str, bytes]:
            file = await files.get(caller.owner, identifier)
            return str(file.payload["filename"]), await files.read(caller.owner, identifier, LIMIT)

        return stored


class _Handed(Response):
    """An answer that the MCP library writes."""

    def __init__(self, server: McpServer, caller: Caller) -> None:
        super().__init__()
        self._server = server
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request over."""
        await self._server.serve(self._caller, scope, receive, send)
