"""The server a command works with: the one that runs, else one for the length of the command."""

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from localai.cli.client import Client
from localai.cli.errors import Unreachable
from localai.cli.target import Target
from localai.cli.terminal import note

PROBE = 2.0
"""Seconds in which a server of this machine must show that it is alive."""


@contextmanager
def connected(target: Target, *, start: bool = True) -> Generator[Client]:
    """A client of the target; with `start`, this machine's own server is started for the block when none runs.

    Raises:
        Failure: The server cannot be reached or started.
    """
    if not target.own or alive(target.url):
        yield Client(target.url, target.key)
        return
    if not start:
        raise Unreachable(
            f"No server runs at {target.url}.",
            why="this needs one that is running already.",
            fix="`localai serve`, or name yours with `--port PORT` or LOCALAI_HOST=http://HOST:PORT.",
        )
    from localai.cli.embedded import embedded

    with embedded() as inner:
        yield Client(inner.url, inner.key)


def alive(url: str) -> bool:
    """Whether a LocalAI server answers there; asked without a key, since anyone may listen on a port."""
    from http.client import HTTPConnection, HTTPException

    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PROBE)
    try:
        connection.request("GET", "/livez")
        reply = connection.getresponse()
        reply.read(4096)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    known = (reply.getheader("X-Request-Id") or "").startswith("req_")
    if not known:
        note(f"Something that is not LocalAI listens at {url}; this command uses a server of its own.")
    return known
