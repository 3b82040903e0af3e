"""Shell completion: `localai completion bash`, and the names of models."""

from enum import StrEnum
from typing import Annotated

import typer

from localai.cli.errors import Failure


class Shell(StrEnum):
    """The shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell it is for.")]) -> None:
    """Write the completion script of a shell.

    It completes verbs, options and the names of models.

    Examples: `source <(localai completion bash)` · `localai completion fish > ~/.config/fish/completions/localai.fish`
    """
    from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage] - the one way to it

    typer.echo(get_completion_script(prog_name="localai", complete_var="_LOCALAI_COMPLETE", shell=shell.value))


def names(incomplete: str) -> list[str]:
    """The installed models that begin like this, as far as a running server tells; silence when none does."""
    from localai.cli.client import Client
    from localai.cli.server import alive
    from localai.cli.target import target

    try:
        chosen = target(None, None, None)
        if chosen.own and not alive(chosen.url):
            return []
        rows = Client(chosen.url, chosen.key).get("/v1/models", wait=2)["data"]
    except (Failure, KeyError):
        return []
    return [str(row["id"]) for row in rows if str(row["id"]).startswith(incomplete)]
