"""What stands behind the routes, built by hand and in order, and the whole route table."""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from localai.api import admin, operations
from localai.api.anthropic import routes as anthropic
from localai.api.anthropic.batches import ENDPOINT as LETTERS
from localai.api.anthropic.performer import performer
from localai.api.files import routes as filing
from localai.api.files.batching import written
from localai.api.files.keeping import Keeping
from localai.api.files.performers import performers
from localai.api.llamacpp import routes as llamacpp
from localai.api.lmstudio import routes as lmstudio
from localai.api.mcp import routes as mcp
from localai.api.mcp.server import McpServer
from localai.api.mcp.tools import Tools
from localai.api.ollama import routes as ollama
from localai.api.openai import routes
from localai.api.readiness import Readiness
from localai.api.responses import routes as responding
from localai.api.responses.prompt import Prompts
from localai.api.responses.respond import Responder
from localai.api.responses.workshop import Workshop
from localai.api.table import Row
from localai.api.vectors import routes as storing
from localai.auth.keys import Keys
from localai.config import Settings
from localai.core.version import version
from localai.fetch.http import Client
from localai.fleet.fleet import Fleet
from localai.loader.catalog import Catalog
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


class Ground(NamedTuple):
    """What the house stands on: all of it runs before anything else does."""

    settings: Settings
    readiness: Readiness
    metrics: Metrics
    database: Database
    blobs: Blobs
    catalog: Catalog
    client: Client
    fleet: Fleet
    keys: Keys


class House(NamedTuple):
    """Everything that routes ask."""

    readiness: Readiness
    metrics: Metrics
    manage: Manage
    perform: Perform
    media: Media
    files: Files
    uploads: Uploads
    keeping: Keeping
    responses: Responses
    conversations: Conversations
    runs: Runs
    responder: Responder
    batches: Batches
    letters: Batches
    """The batches of Anthropic's messages."""
    vectors: Vectors
    errands: Errands
    intake: Intake
    library: Library
    mcp_server: McpServer
    mcp_client: McpClient


async def build(ground: Ground, rooms: AsyncExitStack) -> House:
    """Build and start everything; `rooms` ends it in reverse."""
    settings, database = ground.settings, ground.database
    perform = Perform(catalog=ground.catalog, fleet=ground.fleet, metrics=ground.metrics, context=settings.context)
    manage = await _manage(ground, rooms)
    media, behind = Media(_pictures(ground.client)), perform.behind()
    files = Files(database, settings.files, limit=settings.file_limit, quota=settings.file_quota)
    await files.start()
    rooms.push_async_callback(files.stop)
    responses, conversations, runs = Responses(database), Conversations(database), Runs()
    await responses.start()
    rooms.push_async_callback(responses.stop)
    rooms.push_async_callback(runs.stop)
    errands = Errands(manage, perform)
    rooms.push_async_callback(errands.stop)
    keeping = Keeping(Completions(database))
    vectors = Vectors(database=database, files=files, perform=perform, model=settings.embedding_model)
    client = McpClient(await _remotes(settings))
    workshop = Workshop(vectors, client)
    quiet = Responder(behind, Prompts(media, files, responses, conversations), responses, conversations, workshop)
    answering = performers(behind, media, files, keeping, quiet)
    batches = Batches(database=database, files=files, performers=answering, write=written)
    messages = {LETTERS: performer(behind, media, files)}
    letters = Batches(database=database, files=files, performers=messages, kind="msgbatch")
    for each in (batches, letters, vectors):
        await each.start()
        rooms.push_async_callback(each.stop)
    intake = Intake(ground.blobs)
    server = McpServer(Tools(perform, manage), version())
    rooms.push_async_callback(server.stop)
    return House(
        readiness=ground.readiness,
        metrics=ground.metrics,
        manage=manage,
        perform=perform,
        media=media,
        files=files,
        uploads=Uploads(database, files),
        keeping=keeping,
        responses=responses,
        conversations=conversations,
        runs=runs,
        responder=responding.responder(perform, responses, conversations, media, files, workshop),
        batches=batches,
        letters=letters,
        vectors=vectors,
        errands=errands,
        intake=intake,
        library=Library(catalog=ground.catalog, blobs=ground.blobs, intake=intake),
        mcp_server=server,
        mcp_client=client,
    )


async def _manage(ground: Ground, rooms: AsyncExitStack) -> Manage:
    installer = Installer(catalog=ground.catalog, blobs=ground.blobs, client=ground.client, database=ground.database)
    await installer.start()
    rooms.push_async_callback(installer.stop)
    return Manage(
        settings=ground.settings, catalog=ground.catalog, fleet=ground.fleet, installer=installer, keys=ground.keys
    )


async def _remotes(settings: Settings) -> Remotes:
    """The MCP servers that are configured."""
    file = settings.mcp_servers
    return Remotes() if file is None else await asyncio.to_thread(read_remotes, file)


def _pictures(client: Client) -> Fetch:
    async def fetch(url: str, limit: int) -> bytes:
        async with client.get(url) as reply:
            return await reply.body(limit)

    return fetch


def rows(house: House) -> list[Row]:
    """Every route there is."""
    perform, manage, media, files = house.perform, house.manage, house.media, house.files
    return [
        *operations.rows(house.readiness, house.metrics, version()),
        *admin.rows(manage),
        *routes.rows(perform, media, files=files, manage=manage, keep=house.keeping.keep),
        *responding.rows(house.responder, house.responses, house.conversations, house.runs),
        *filing.rows(files, house.uploads, house.batches, house.keeping),
        *storing.rows(house.vectors),
        *mcp.rows(house.mcp_server, house.mcp_client, perform, media, files),
        *llamacpp.rows(perform, manage, house.errands, media, house.readiness),
        *lmstudio.rows(perform, manage, house.errands),
        *anthropic.rows(perform, media, files, house.letters),
        *ollama.rows(perform, manage, house.library, house.intake, media),
    ]
