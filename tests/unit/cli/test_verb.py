"""What makes a function a verb."""

import inspect

import pytest
import typer

from localai.cli.client import Client
from localai.cli.errors import Missing
from localai.cli.verb import plain, served


def test_a_failure_becomes_its_exit_code(capsys):
    """A failure is shown and ends the program with its exit code, without a traceback."""

    @plain
    def verb() -> None:
        raise Missing("Gone.")

    with pytest.raises(typer.Exit) as caught:
        verb()
    assert caught.value.exit_code == 3
    assert capsys.readouterr().err == "Error: Gone.\n"


def test_a_served_verb_gains_the_options_that_choose_the_server():
    """A verb with a client has its own parameters, then --host, --port and --api-key."""

    def verb(client: Client, name: str, *, loud: bool = False) -> None:
        """Say something."""

    wrapped = served(verb)
    assert list(inspect.signature(wrapped).parameters) == ["name", "loud", "host", "port", "api_key"]
    assert wrapped.__doc__ == "Say something."


def test_options_choose_the_server(server, cli, monkeypatch):
    """--host, --port and --api-key reach the server they name."""
    from serverdouble import Canned

    server.on("GET", "/api/admin/models", Canned({"models": []}))
    monkeypatch.setenv("LOCALAI_HOST", "elsewhere.invalid")
    result = cli("list", "--host", "127.0.0.1", "--port", str(server.port), "--api-key", "sk-flag")
    assert result.exit_code == 0
    assert server.requests[0].headers["authorization"] == "Bearer sk-flag"
