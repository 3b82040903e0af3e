"""The models in memory: `ps`, `load` and `stop`."""

import time
from typing import Annotated, Any

import typer

from localai.cli.client import Client
from localai.cli.table import columns, write_json
from localai.cli.terminal import note
from localai.cli.units import seconds, size, span
from localai.cli.verb import Json, ModelName

LOAD = 3600.0
"""Seconds a load may take; the server's own limit is shorter and gives the better message."""


def ps(client: Client, *, as_json: Json = False) -> None:
    """Show the loaded models, what they take and when they leave."""
    snapshot: dict[str, Any] = client.get("/api/admin/loaded")
    rows: list[dict[str, Any]] = snapshot["models"]
    if as_json:
        write_json(snapshot)
    elif rows:
        heads = ("NAME", "STATE", "MEMORY", "CONTEXT", "SLOTS", "THREADS", "BUSY", "QUEUED", "UNTIL")
        typer.echo(columns(heads, [_row(row, time.time()) for row in rows]))
    else:
        note("No model is loaded. A request loads its model, or: localai load MODEL")


def load(
    client: Client,
    model: ModelName,
    *,
    keep_alive: Annotated[
        str | None, typer.Option("--keep-alive", metavar="TIME", help="How long it stays when idle: 10m, 2h, `always`.")
    ] = None,
) -> None:
    """Load a model now instead of at its first request."""
    body: dict[str, Any] = {"model": model}
    if keep_alive is not None:
        body["keep_alive"] = lifetime(keep_alive)
    row: dict[str, Any] = client.post("/api/admin/load", body, wait=LOAD)
    note(f"Loaded {row['name']}: {size(row.get('memory') or 0)}, context {row.get('context')}.")


def stop(client: Client, model: ModelName) -> None:
    """Unload a model; requests that run may finish."""
    client.post("/api/admin/unload", {"model": model}, wait=LOAD)
    note(f"Stopped {model}.")


def lifetime(text: str) -> float:
    """Seconds to stay loaded when idle: a duration, `0` for not at all, `always` (or -1) for ever (a negative number).

    Raises:
        Misused: It is none of these.
    """
    if text in ("always", "-1"):
        return -1
    return 0 if text == "0" else seconds(text, "--keep-alive")


def _row(row: dict[str, Any], now: float) -> tuple[str, ...]:
    expires = row.get("expires_at")
    memory = row.get("memory") or row.get("estimated") or 0
    return (
        str(row["name"]),
        str(row.get("state") or ""),
        size(memory),
        str(row.get("context") or ""),
        str(row.get("slots") or ""),
        str(row.get("threads") or ""),
        str(row.get("busy") or 0),
        str(row.get("queued") or 0),
        str(row.get("last_error") or "")
        if row.get("state") == "resting"
        else span(expires - now)
        if expires
        else "always",
    )
