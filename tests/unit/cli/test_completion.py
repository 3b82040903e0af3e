"""Shell completion."""

import subprocess
import sys

import pytest

from localai.cli.completion import names
from serverdouble import Canned, ServerDouble


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(cli, shell: str):
    """`completion SHELL` writes a script that asks the program itself."""
    result = cli("completion", shell)
    assert result.exit_code == 0
    assert f"_LOCALAI_COMPLETE=complete_{shell}" in result.stdout


def test_another_shell_is_a_usage_error(cli):
    """A shell that is not known is a usage error."""
    assert cli("completion", "csh").exit_code == 2


def test_names_of_models_are_completed(server: ServerDouble):
    """The names that a running server has are offered, those that begin with what was typed."""
    server.on("GET", "/v1/models", Canned({"data": [{"id": "smollm2-135m"}, {"id": "minilm"}]}))
    assert names("smo") == ["smollm2-135m"]
    assert names("") == ["smollm2-135m", "minilm"]


def test_no_server_no_names(monkeypatch):
    """Without a server nothing is offered, nothing is started and nothing fails."""
    monkeypatch.setenv("LOCALAI_PORT", "1")
    assert names("smo") == []


@pytest.mark.parametrize("answer", [Canned({}), Canned(b"<html>"), Canned({}, status=401)])
def test_a_strange_server_completes_nothing(server: ServerDouble, answer: Canned):
    """A server that refuses or answers nonsense leads to no names, not to an error in the shell."""
    server.on("GET", "/v1/models", answer)
    assert names("") == []


def test_the_script_completes_verbs():
    """What a shell asks for after `localai st` is the verbs that begin so."""
    result = subprocess.run(
        [sys.executable, "-c", "from localai.cli.main import main; main()"],
        env={"_LOCALAI_COMPLETE": "complete_bash", "COMP_WORDS": "localai st", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == ["stop", "status"]
