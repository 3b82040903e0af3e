"""`localai serve`: the server itself, with a flag for every setting."""

import inspect
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from localai.cli.errors import Misused, refused
from localai.cli.flags import parameters
from localai.cli.target import settings
from localai.cli.verb import plain
from localai.core.errors import LocalAIError

if TYPE_CHECKING:
    from localai.config import Settings

SUMMARY = "Start the server."


def command() -> typer.Typer:
    """The command with its flags. Made when needed, since the settings take as long to import as all the rest."""
    flags = parameters()

    def start(**given: Any) -> None:
        run({name: value for name, value in given.items() if value is not None})

    start.__doc__ = (
        f"{SUMMARY}\n\nEvery flag can be given as a variable too: `--port 9000` is LOCALAI_PORT=9000.\n\n"
        "Examples: `localai serve` · `localai serve --port 9000` · `localai serve --host 0.0.0.0`"
    )
    start.__signature__ = inspect.Signature(flags)  # pyright: ignore[reportFunctionMemberAccess] - what Typer reads
    start.__annotations__ = {flag.name: flag.annotation for flag in flags}
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command()(plain(start))
    return app


def main(args: Sequence[str]) -> None:
    """Run the command with the arguments after `serve`."""
    command()(args=list(args), prog_name="localai serve")


def run(flags: dict[str, Any]) -> None:
    """Serve until a signal comes; the flags stand above variables and files.

    Raises:
        Failure: The settings make no sense, or the server cannot start.
        typer.Exit: It stopped.
    """
    chosen = settings(**flags)
    _check(chosen)
    from localai.app import serve

    try:
        code = serve(chosen)
    except LocalAIError as error:
        raise refused(error.status, error.code, error.message) from None
    raise typer.Exit(code)


def _check(chosen: "Settings") -> None:
    """LOCALAI_HOST names a server for the other verbs, as a URL or host:port; here it has to be an address."""
    try:
        ipaddress.ip_address(chosen.host)
    except ValueError:
        if ":" in chosen.host or "/" in chosen.host:
            raise Misused(
                f"`{chosen.host}` is not an address to listen on.",
                why="LOCALAI_HOST or --host holds the address of a server to talk to.",
                fix="`localai serve --host 127.0.0.1 --port 8080`",
            ) from None
