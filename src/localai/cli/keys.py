"""API keys: `keys create`, `keys list` and `keys revoke`."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from localai.cli.client import Client
from localai.cli.table import columns, write_json
from localai.cli.terminal import clean, note
from localai.cli.units import moment, seconds
from localai.cli.verb import Json


def create(
    client: Client,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="infer, models, metrics or admin; repeat for more [infer].")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model; repeat for more [all models].")
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Whose files, batches and responses it sees [the key's own].")
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help="30d, 12h, ... [never].")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and write it to standard output. It is shown this once only."""
    body: dict[str, Any] = {"name": name, "scopes": scope or ["infer"]}
    if model:
        body["models"] = model
    if owner is not None:
        body["owner"] = owner
    if expires is not None:
        body["expires"] = seconds(expires, "--expires")
    made: dict[str, Any] = client.post("/api/admin/keys", body)
    if as_json:
        write_json(made)
        return
    note(f"Key {made['id']} ({', '.join(body['scopes'])}). Keep it now: it cannot be shown again.")
    typer.echo(clean(str(made["secret"])))


def list_keys(client: Client, *, as_json: Json = False) -> None:
    """Show the keys: who may do what until when, never the secrets."""
    rows: list[dict[str, Any]] = client.get("/api/admin/keys")["keys"]
    if as_json:
        write_json(rows)
    elif rows:
        heads = ("ID", "NAME", "SCOPES", "MODELS", "EXPIRES", "LAST USED")
        typer.echo(columns(heads, [_row(row) for row in rows]))
    else:
        note("No keys besides admin.key. Try: localai keys create laptop --scope infer")


def revoke(client: Client, key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key.")]) -> None:
    """End a key at once."""
    client.delete(f"/api/admin/keys/{quote(key_id, safe='')}")
    note(f"Revoked {key_id}.")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    models = row.get("models")
    return (
        str(row["id"]),
        str(row.get("name") or ""),
        ",".join(row.get("scopes") or ()),
        "all" if models is None else ",".join(models),
        moment(row["expires"]) if row.get("expires") else "never",
        moment(row["used"]) if row.get("used") else "",
    )
