"""The composition root: knows every room, and the order in which they start and stop."""

import asyncio
import ipaddress
import sys
from contextlib import AsyncExitStack
from functools import partial

from localai import house
from localai.api.edge import Edge
from localai.api.files import routes as filing
from localai.api.framing import Limits
from localai.api.ollama.blobs import LARGE
from localai.api.policy import Policy
from localai.api.readiness import Readiness
from localai.api.responses.routes import sockets
from localai.api.server import Server
from localai.api.table import build
from localai.auth.admin import admin_secret
from localai.auth.authenticator import Authenticator
from localai.auth.keys import Keys
from localai.config import Settings
from localai.core.errors import InvalidRequest
from localai.core.version import version
from localai.fetch.http import Client
from localai.fleet.fleet import Fleet
from localai.house import Ground, House
from localai.loader.catalog import Catalog
from localai.observe import logs
from localai.observe.metrics import Metrics
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
        self._house: House | None = None

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
        keys = Keys(database)
        self._rooms.push_async_callback(keys.close)
        ground = Ground(settings, readiness, metrics, database, blobs, catalog, client, fleet, keys)
        furnished = await house.build(ground, self._rooms)
        self._house = furnished
        application = build(
            house.rows(furnished),
            Authenticator(keys, self.key, settings.api_key, settings.open),
            version(),
            sockets(furnished.responder),
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
        furnished.manage.url = await self.server.start()
        return furnished.manage.url

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
        if self._house is not None:
            for batches in (self._house.batches, self._house.letters):
                await batches.stop()  # what is not done goes on after the next start
        if self._fleet is not None:
            await self._fleet.stop(seconds)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
