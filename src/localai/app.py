"""The composition root: knows every room, and the order in which they start and stop."""

import asyncio
import ipaddress
import sys
from contextlib import AsyncExitStack
from functools import partial

from localai.api import admin, operations
from localai.api.anthropic import routes as anthropic
from localai.api.anthropic.batches import ENDPOINT as LETTERS
from localai.api.anthropic.performer import performer
from localai.api.edge import Edge
from localai.api.files import routes as filing
from localai.api.files.batching import written
from localai.api.files.keeping import Keeping
from localai.api.files.performers import performers
from localai.api.framing import Limits
from localai.api.llamacpp import routes as llamacpp
from localai.api.lmstudio import routes as lmstudio
from localai.api.mcp import routes as mcp
from localai.api.mcp.server import McpServer
from localai.api.mcp.tools import Tools
from localai.api.ollama import routes as ollama
from localai.api.ollama.blobs import LARGE
from localai.api.openai import routes
from localai.api.policy import Policy
from localai.api.readiness import Readiness
from localai.api.responses import routes as responding
from localai.api.responses.prompt import Prompts
from localai.api.responses.respond import Responder
from localai.api.server import Server
from localai.api.table import Row, build
from localai.api.vectors import routes as storing
from localai.auth.admin import admin_secret
from localai.auth.authenticator import Authenticator
from localai.auth.keys import Keys
from localai.config import Settings
from localai.core.errors import InvalidRequest
from localai.core.version import version
from localai.fetch.http import Client
from localai.fleet.fleet import Fleet
from localai.loader.catalog import Catalog
from localai.observe import logs
from localai.observe.metrics import Metrics
from localai.service.batches import Batches
from localai.service.completions import Completions
from localai.service.conversations import Conversations
from localai.service.errands import Errands
from localai.service.files import Files
from localai.service.install import Installer
from localai.service.intake import Intake
from localai.service.library import Library
from localai.service.manage import Manage
from localai.service.mcpclient import McpClient
from localai.service.media import Fetch, Media
from localai.service.perform import Perform
from localai.service.remotes import Remotes
from localai.service.remotes import read as read_remotes
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.service.uploads import Uploads
from localai.service.vectors import Vectors
from localai.storage.blobs import Blobs
from localai.storage.database import Database


class App:
    """A whole server. `start` and `stop` once each, in one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Check the settings.

        Raises:
            InvalidRequest: An open server would be reachable from other machines.
        """
        if settings.open and not _is_loopback(settings.host):
            raise InvalidRequest(
                f"An open server may listen on loopback only, and `{settings.host}` is not; leave out `open`, "
                "or listen on 127.0.0.1.",
                param="open",
            )
        self.settings = settings
        self.key = ""
        """A secret with all rights."""
        self.server: Server | None = None
        self._rooms = AsyncExitStack()
        self._fleet: Fleet | None = None
        self._batches: list[Batches] = []

    async def start(self) -> str:
        """Open the store, listen, and be ready; models load when they are asked for. Gives the base URL.

        Raises:
            StorageFailed: The home folder or the database cannot be used.
            Conflict: The port is taken.
            InvalidRequest: The address cannot be listened on.
        """
        try:
            return await self._start()
        except BaseException:
            await self._rooms.aclose()
            raise

    async def _start(self) -> str:
        settings = self.settings
        self.key = await asyncio.to_thread(admin_secret, settings.admin_key)
        readiness, metrics = Readiness(), Metrics()
        database = await Database.open(settings.database)
        self._rooms.push_async_callback(database.close)
        readiness.store = True
        blobs = Blobs(settings.blobs)
        catalog = Catalog(settings.models, blobs)
        client = await self._rooms.enter_async_context(Client())
        fleet = Fleet(settings=settings, catalog=catalog, metrics=metrics)
        self._fleet = fleet
        await fleet.start()
        self._rooms.push_async_callback(fleet.stop, 0)
        readiness.fleet = True
        installer = Installer(catalog=catalog, blobs=blobs, client=client, database=database)
        await installer.start()
        self._rooms.push_async_callback(installer.stop)
        keys = Keys(database)
        self._rooms.push_async_callback(keys.close)
        manage = Manage(settings=settings, catalog=catalog, fleet=fleet, installer=installer, keys=keys)
        perform = Perform(catalog=catalog, fleet=fleet, metrics=metrics, context=settings.context)
        media = Media(_pictures(client))
        responses, runs = Responses(database), Runs()
        await responses.start()
        self._rooms.push_async_callback(responses.stop)
        self._rooms.push_async_callback(runs.stop)
        errands = Errands(manage, perform)
        self._rooms.push_async_callback(errands.stop)
        intake = Intake(blobs)
        library = Library(catalog=catalog, blobs=blobs, intake=intake)
        files = Files(database, settings.files, limit=settings.file_limit, quota=settings.file_quota)
        await files.start()
        self._rooms.push_async_callback(files.stop)
        conversations, behind = Conversations(database), perform.behind()
        responder = Responder(behind, Prompts(media, files, responses, conversations), responses, conversations)
        keeping = Keeping(Completions(database))
        answering = performers(behind, media, files, keeping, responder)
        batches = Batches(database=database, files=files, performers=answering, write=written)
        messages = performer(behind, media, files)
        letters = Batches(database=database, files=files, performers={LETTERS: messages}, kind="msgbatch")
        for each in (batches, letters):
            self._batches.append(each)
            await each.start()
            self._rooms.push_async_callback(each.stop)
        live = responding.responder(perform, responses, conversations, media, files)
        table = [
            *operations.rows(readiness, metrics, version()),
            *admin.rows(manage),
            *routes.rows(perform, media, files=files, manage=manage, keep=keeping.keep),
            *responding.rows(live, responses, conversations, runs),
            *filing.rows(files, Uploads(database, files), batches, keeping),
            *await self._storing(database, files, perform),
            *await self._tooling(perform, manage, media, files),
            *llamacpp.rows(perform, manage, errands, media, readiness),
            *lmstudio.rows(perform, manage, errands),
            *anthropic.rows(perform, media, files, letters),
            *ollama.rows(perform, manage, library, intake, media),
        ]
        application = build(
            table,
            Authenticator(keys, self.key, settings.api_key, settings.open),
            version(),
            responding.sockets(live),
        )
        edge = Edge(
            application,
            policy=Policy(settings.host, settings.allowed_hosts, settings.allowed_origins),
            metrics=metrics,
            readiness=readiness,
            body_limit=settings.body_limit,
            root_path=settings.root_path,
            large={**LARGE, **filing.large(settings.file_limit)},
        )
        limits = Limits(connections=settings.max_connections, body_bytes=settings.body_limit)
        self.server = Server(
            edge,
            host=settings.host,
            port=settings.port,
            limits=limits,
            readiness=readiness,
            metrics=metrics,
            more=() if settings.ollama_port is None else (settings.ollama_port,),
        )
        manage.url = await self.server.start()
        return manage.url

    async def _storing(self, database: Database, files: Files, perform: Perform) -> list[Row]:
        """Vector stores: their reader runs, their rows are given."""
        vectors = Vectors(database=database, files=files, perform=perform, model=self.settings.embedding_model)
        await vectors.start()
        self._rooms.push_async_callback(vectors.stop)
        return storing.rows(vectors)

    async def _tooling(self, perform: Perform, manage: Manage, media: Media, files: Files) -> list[Row]:
        """MCP in both directions: our server, and the servers that are configured."""
        file = self.settings.mcp_servers
        remotes = Remotes() if file is None else await asyncio.to_thread(read_remotes, file)
        server = McpServer(Tools(perform, manage), version())
        self._rooms.push_async_callback(server.stop)
        return mcp.rows(server, McpClient(remotes), perform, media, files)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT: refuse what is new, let what runs finish within `drain_timeout`."""
        assert self.server is not None, "start() comes first"  # noqa: S101 - a mistake of ours, not of a user
        await self.server.run(partial(self._drain, self.settings.drain_timeout))
        await self._rooms.aclose()

    async def stop(self) -> None:
        """Stop at once: running requests fail with server_shutting_down."""
        if self.server is not None:
            await self.server.stop(partial(self._drain, 0))
        await self._rooms.aclose()

    async def _drain(self, seconds: float) -> None:
        for each in self._batches:
            await each.stop()  # what is not done goes on after the next start
        if self._fleet is not None:
            await self._fleet.stop(seconds)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pictures(client: Client) -> Fetch:
    async def fetch(url: str, limit: int) -> bytes:
        async with client.get(url) as reply:
            return await reply.body(limit)

    return fetch


def serve(settings: Settings) -> int:
    """Run a server until a signal ends it; gives the exit code.

    Raises:
        LocalAIError: It cannot start.
    """
    logs.configure(settings.log_level, settings.log_json)
    if sys.platform == "win32":
        asyncio.run(_serve(settings))
    else:
        import uvloop  # noqa: PLC0415 - there is none on Windows

        uvloop.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    app = App(settings)
    url = await app.start()
    settings.address.write_text(url)
    try:
        sys.stdout.write(_welcome(settings, *(app.server.addresses if app.server is not None else (url,))))
        sys.stdout.flush()
        await app.run()
    finally:
        settings.address.unlink(missing_ok=True)


def _welcome(settings: Settings, url: str, *others: str) -> str:
    key = "" if settings.open else f' \\\n  -H "Authorization: Bearer $(cat {settings.admin_key})"'
    return (
        f"LocalAI {version()} serves at {url}/v1\n"
        f"{''.join(f'Ollama clients find it at {other} too' + chr(10) for other in others)}"
        f"Key: {'none needed' if settings.open else settings.admin_key}\n\n"
        f"curl {url}/v1/chat/completions{key} \\\n"
        """  -d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'\n\n"""
    )
