"""The `localai` command: every verb and the function behind it."""

import sys
from typing import Annotated, Any

import typer

from localai.cli import completion, config, doctor, keys, loaded, models, pull, run, serve, status
from localai.cli.verb import plain, running, served
from localai.core.version import version

app = typer.Typer(
    name="localai",
    help="Your own AI server: local models behind the APIs your tools already speak.",
    epilog='Start here: localai run "Why is the sky blue?"',
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keyring = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make, show and revoke API keys.")
setup = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show the settings and their schema.")

_PASSED_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer hands the value over by position
    if wanted:
        typer.echo(f"localai {version()}")
        raise typer.Exit


@app.callback()
def _root(
    *, _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False
) -> None:
    """Nothing is common to all verbs but this option."""


def _serve(context: typer.Context) -> None:
    """Hand the arguments on to the command whose flags are made from the settings."""
    serve.main(context.args)


app.command("serve", help=serve.SUMMARY, context_settings=_PASSED_ON)(_serve)
app.command("run")(served(run.run))
app.command("pull")(served(pull.pull))
app.command("list")(served(models.list_models))
app.command("ls", hidden=True)(served(models.list_models))
app.command("show")(served(models.show))
app.command("rm")(served(models.rm))
app.command("ps")(running(loaded.ps))
app.command("load")(running(loaded.load))
app.command("stop")(running(loaded.stop))
app.command("status")(running(status.status))
app.command("doctor")(plain(doctor.doctor))
keyring.command("create")(served(keys.create))
keyring.command("list")(served(keys.list_keys))
keyring.command("revoke")(served(keys.revoke))
app.add_typer(keyring, name="keys")
setup.command("show")(plain(config.show))
setup.command("schema")(plain(config.schema))
app.add_typer(setup, name="config")
app.command("version")(plain(status.show_version))
app.command("completion")(plain(completion.completion))


def main() -> None:
    """Run the command line of this process; the exit code says what came of it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")  # a terminal that lacks a letter shows a question mark, not a traceback
    app(prog_name="localai")
