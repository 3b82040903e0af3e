"""`localai status` and `localai version`: what runs, and which version this is."""

import platform
from typing import Any

import typer

from localai.cli.client import Client
from localai.cli.table import pairs, write_json
from localai.cli.terminal import note
from localai.cli.units import size, span
from localai.cli.verb import Json
from localai.core.version import version


def status(client: Client, *, as_json: Json = False) -> None:
    """Show the running server, its memory and its models."""
    found: dict[str, Any] = client.get("/api/admin/status")
    if as_json:
        write_json(found)
        return
    memory: dict[str, Any] = found.get("memory") or {}
    typer.echo(
        pairs(
            [
                ("version", str(found.get("version") or "")),
                ("url", str(found.get("url") or client.url)),
                ("home", str(found.get("home") or "")),
                ("up", span(found.get("uptime") or 0)),
                ("memory", f"{size(memory['used'])} of {size(memory['total'])} for models" if memory else ""),
                ("models", f"{found.get('models', 0)} installed, {found.get('loaded', 0)} loaded"),
                ("engines", ", ".join(found.get("engines") or ())),
            ]
        )
    )
    problems: dict[str, str] = found.get("problems") or {}
    for file, why in problems.items():
        note(f"Problem with {file}: {why}")


def show_version(*, as_json: Json = False) -> None:
    """Show the version of this program."""
    facts = {
        "version": version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        write_json(facts)
    else:
        typer.echo(f"localai {facts['version']} (Python {facts['python']}, {facts['system']})")
