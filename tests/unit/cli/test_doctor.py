"""`localai doctor`."""

import json
import socket

import pytest

from localai.cli import doctor
from localai.cli.checks import Check
from localai.cli.doctor import exposure
from localai.config import Settings
from localai.core.version import version
from serverdouble import Canned, ServerDouble


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine in order, so that only the checks of this file decide."""
    monkeypatch.setattr(doctor, "LOCAL", (lambda _: iter([Check("machine", "ok", "fine")]),))


def checks(result) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


def test_a_server_of_this_version_is_in_order(server: ServerDouble, cli):
    """A server that answers with this version is fine, and the exit code is 0."""
    server.on("GET", "/api/admin/status", Canned({"version": version()}))
    result = cli("doctor", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["ok"] is True
    assert checks(result)["server"]["state"] == "ok"


def test_another_version_and_broken_files_are_warnings(server: ServerDouble, cli):
    """A server of another version, and model files it cannot read, are warnings: exit code 0."""
    server.on("GET", "/api/admin/status", Canned({"version": "9.9", "problems": {"a.yaml": "bad"}}))
    result = cli("doctor", "--json")
    assert result.exit_code == 0
    assert checks(result)["server"]["state"] == "warn"
    assert checks(result)["model file"]["detail"] == "a.yaml: bad"


def test_a_wrong_key_is_a_failure(server: ServerDouble, cli):
    """A server that refuses the key fails the check `key`: exit code 1, with what to do."""
    server.on("GET", "/api/admin/status", Canned({"code": "invalid_api_key", "detail": "Wrong."}, status=401))
    result = cli("doctor", "--json")
    assert result.exit_code == 1
    assert checks(result)["key"]["state"] == "fail"
    assert "--api-key" in checks(result)["key"]["fix"]


def test_a_named_server_that_is_not_there_is_a_failure(cli):
    """A server that was named and does not answer fails the check."""
    result = cli("doctor", "--json", "--port", "1")
    assert (result.exit_code, checks(result)["server"]["state"]) == (1, "fail")


def test_a_free_port_is_in_order(cli, monkeypatch):
    """When no server runs, a free port is fine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("LOCALAI_PORT", str(port))
    result = cli("doctor", "--json")
    assert (result.exit_code, checks(result)["port"]["state"]) == (0, "ok")


def test_a_taken_port_is_a_failure(cli, monkeypatch):
    """When another program has the port, the check fails and proposes another port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("LOCALAI_PORT", str(other.getsockname()[1]))
        monkeypatch.setattr("localai.cli.server.PROBE", 0.05)
        result = cli("doctor", "--json")
    assert (result.exit_code, checks(result)["port"]["state"]) == (1, "fail")
    assert "--port" in checks(result)["port"]["fix"]


@pytest.mark.parametrize(
    ("host", "is_open", "state", "word"),
    [
        ("127.0.0.1", False, "ok", "only"),
        ("localhost", True, "ok", "without a key"),
        ("0.0.0.0", False, "ok", "with keys"),
        ("0.0.0.0", True, "fail", "everyone"),
        ("box", True, "fail", "everyone"),
    ],
)
def test_an_open_server_beyond_loopback_is_a_failure(host: str, is_open: bool, state: str, word: str):
    """Serving without a key is in order on loopback only."""
    check = exposure(Settings(host=host, open=is_open))
    assert (check.state, word in check.detail) == (state, True)


def test_findings_are_lines_with_what_to_do(server: ServerDouble, cli):
    """Without --json each finding is a line, and what to do a line below it."""
    server.on("GET", "/api/admin/status", Canned({"version": "9.9"}))
    lines = cli("doctor").stdout.splitlines()
    assert lines[0] == "ok    machine: fine"
    assert lines[-2].startswith("warn  server: version 9.9 answers")
    assert lines[-1].startswith("      Try: ")
