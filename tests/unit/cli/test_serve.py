"""`localai serve`."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from localai.config import Settings
from localai.core.errors import InvalidRequest


@pytest.fixture
def served(monkeypatch) -> list[Settings]:
    """What the application was asked to serve; a double of it stops at once, with exit code 0."""
    calls: list[Settings] = []
    module: Any = ModuleType("localai.app")
    module.serve = lambda settings: (calls.append(settings), 0)[1]
    monkeypatch.setitem(sys.modules, "localai.app", module)
    return calls


def test_flags_become_settings(cli, served: list[Settings], tmp_path: Path):
    """Each flag sets its setting; what was not given keeps its default."""
    flags = ("--port", "9000", "--open", "--home", str(tmp_path), "--memory", "1000", "--allowed-hosts", "a")
    assert cli("serve", *flags, "--allowed-hosts", "b", "--no-log-json").exit_code == 0
    (settings,) = served
    assert (settings.port, settings.open, settings.home, settings.memory) == (9000, True, tmp_path, 1000)
    assert (settings.allowed_hosts, settings.log_json) == (("a", "b"), False)
    assert settings.queue == Settings().queue


def test_flags_beat_variables(cli, served: list[Settings], monkeypatch):
    """A flag stands above its variable, and a variable above the default."""
    monkeypatch.setenv("LOCALAI_PORT", "9000")
    monkeypatch.setenv("LOCALAI_QUEUE", "5")
    cli("serve", "--port", "9001")
    assert (served[0].port, served[0].queue) == (9001, 5)


def test_help_lists_every_setting(cli):
    """`serve --help` shows a flag for each setting."""
    shown = cli("serve", "--help").stdout
    assert all(f"--{name.replace('_', '-')}" in shown for name in Settings.model_fields)


@pytest.mark.parametrize("flags", [("--port", "many"), ("--port", "70000"), ("--nonsense",), ("extra",)])
def test_a_wrong_flag_is_a_usage_error(cli, served: list[Settings], flags: tuple[str, ...]):
    """What is no flag or no value for it is exit code 2, and nothing is started."""
    assert cli("serve", *flags).exit_code == 2
    assert served == []


@pytest.mark.parametrize("host", ["http://box:8080", "box:9000"])
def test_the_address_of_a_server_is_not_one_to_listen_on(cli, served: list[Settings], monkeypatch, host: str):
    """A LOCALAI_HOST meant for the other verbs is explained instead of bound."""
    monkeypatch.setenv("LOCALAI_HOST", host)
    result = cli("serve")
    assert result.exit_code == 2
    assert "LOCALAI_HOST" in result.stderr
    assert served == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "localhost", "box"])
def test_addresses_and_names_can_be_listened_on(cli, served: list[Settings], host: str):
    """An IPv4 or IPv6 address or a name is taken as it is."""
    assert cli("serve", "--host", host).exit_code == 0
    assert served[0].host == host


def test_a_refusal_of_the_application_is_shown(cli, served: list[Settings], monkeypatch):
    """When the application refuses to start, its sentence is shown and the exit code is 1."""

    def refuse(settings: Settings) -> int:
        raise InvalidRequest("An open server listens on loopback only.")

    monkeypatch.setattr(sys.modules["localai.app"], "serve", refuse)
    result = cli("serve")
    assert result.exit_code == 1
    assert "Error: An open server listens on loopback only." in result.stderr


def test_the_exit_code_is_that_of_the_application(cli, served: list[Settings], monkeypatch):
    """`serve` ends with what the application says."""
    monkeypatch.setattr(sys.modules["localai.app"], "serve", lambda _: 130)
    assert cli("serve").exit_code == 130
