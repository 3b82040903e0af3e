"""The installed models: `list`, `show` and `rm`."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from localai.cli.client import Client
from localai.cli.completion import names
from localai.cli.errors import Misused
from localai.cli.table import columns, pairs, write_json
from localai.cli.terminal import agreed, clean, interactive, note
from localai.cli.units import moment, size
from localai.cli.verb import Json, ModelName, Yes


def list_models(client: Client, *, as_json: Json = False) -> None:
    """Show the installed models."""
    rows: list[dict[str, Any]] = client.get("/api/admin/models")["models"]
    if as_json:
        write_json(rows)
    elif rows:
        typer.echo(
            columns(("NAME", "SIZE", "KIND", "CONTEXT", "TASKS", "STATE", "MODIFIED"), [_row(row) for row in rows])
        )
    else:
        note("No model is installed. Try: localai pull starter")


def show(
    client: Client,
    model: ModelName,
    *,
    as_json: Json = False,
    yaml: Annotated[bool, typer.Option("--yaml", help="Only the model file.")] = False,
    template: Annotated[bool, typer.Option("--template", help="Only the chat template.")] = False,
    parameters: Annotated[bool, typer.Option("--parameters", help="Only the sampling parameters.")] = False,
    licence: Annotated[bool, typer.Option("--licence", "--license", help="Only the licence.")] = False,
) -> None:
    """Show what a model is, what it needs and how it is set up."""
    chosen = [name for name, on in (("file", yaml), ("template", template), ("licence", licence)) if on]
    if len(chosen) + as_json + parameters > 1:
        raise Misused("Only one of --json, --yaml, --template, --parameters and --licence can be shown at a time.")
    row: dict[str, Any] = client.get(_path(model))
    if as_json:
        write_json(row)
    elif chosen:
        typer.echo(clean(str(row.get(chosen[0]) or "").rstrip("\n")))
    elif parameters:
        write_json(row.get("parameters") or {})
    else:
        typer.echo(pairs(_facts(row)))


def rm(
    client: Client,
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names of models.", autocompletion=names)],
    *,
    yes: Yes = False,
) -> None:
    """Remove models and the files nobody else needs."""
    if not yes:
        if not interactive():
            raise Misused("Removing needs a yes, and nobody is here to ask.", fix=f"`localai rm -y {' '.join(models)}`")
        if not agreed(f"Remove {', '.join(models)}?"):
            raise typer.Exit(1)
    for model in models:
        client.delete(_path(model))
        note(f"Removed {model}.")


def _path(model: str) -> str:
    return f"/api/admin/models/{quote(model, safe='')}"


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["name"]),
        size(row.get("size") or 0),
        str(row.get("quantisation") or row.get("engine") or ""),
        str(row.get("context") or "auto"),
        ",".join(row.get("tasks") or ()),
        str(row.get("state") or ""),
        moment(row["modified"]) if row.get("modified") else "",
    )


def _facts(row: dict[str, Any]) -> list[tuple[str, str]]:
    header: dict[str, Any] = row.get("header") or {}
    estimate: dict[str, Any] = row.get("estimate") or {}
    return [
        ("name", str(row["name"])),
        ("aliases", ", ".join(row.get("aliases") or ())),
        ("engine", str(row.get("engine") or "")),
        ("tasks", ", ".join(row.get("tasks") or ())),
        ("architecture", str(header.get("architecture") or "")),
        ("quantisation", str(row.get("quantisation") or "")),
        ("weights", f"{header['parameters'] / 1e6:,.0f} million" if header.get("parameters") else ""),
        ("trained for", f"{header['context']} tokens" if header.get("context") else ""),
        ("context", f"{row['context']} tokens" if row.get("context") else ""),
        ("size", size(row["size"]) if row.get("size") else ""),
        ("memory", size(estimate["total"]) + " when loaded" if estimate.get("total") else ""),
        ("licence", str(row.get("licence") or "")),
        ("source", str(row.get("source") or "")),
        ("state", str(row.get("state") or "")),
    ]
