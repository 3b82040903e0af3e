"""`ps`, `load` and `stop`."""

import json

import pytest

from localai.cli import loaded
from localai.cli.errors import Misused
from localai.cli.loaded import lifetime
from serverdouble import Canned, ServerDouble

ROW = {
    "name": "smollm2-135m",
    "state": "ready",
    "memory": 210_000_000,
    "context": 8192,
    "slots": 2,
    "threads": 2,
    "busy": 1,
    "queued": 3,
    "expires_at": 1_000_600,
    "last_error": None,
}


@pytest.fixture
def snapshot(server: ServerDouble, monkeypatch):
    monkeypatch.setattr(loaded.time, "time", lambda: 1_000_000)
    rows = [ROW, ROW | {"name": "kept", "expires_at": None}]
    rows.append(ROW | {"name": "ill", "state": "resting", "memory": 0, "last_error": "died"})
    found = {"memory": {"total": 1}, "models": rows}
    server.on("GET", "/api/admin/loaded", Canned(found))
    return found


def test_ps_tells_what_models_take_and_when_they_leave(snapshot, cli):
    """`ps` shows memory, context, slots, what is busy, and when an idle model leaves, stays or why it rests."""
    first, kept, ill = cli("ps").stdout.splitlines()[1:]
    assert first.split() == ["smollm2-135m", "ready", "210", "MB", "8192", "2", "2", "1", "3", "10", "m"]
    assert kept.endswith("always")
    assert ill.endswith("died")


def test_ps_as_json(snapshot, cli):
    """`ps --json` is the server's snapshot."""
    assert json.loads(cli("ps", "--json").stdout) == snapshot


def test_ps_of_nothing(server: ServerDouble, cli):
    """With nothing loaded, standard output is empty."""
    server.on("GET", "/api/admin/loaded", Canned({"models": []}))
    result = cli("ps")
    assert (result.exit_code, result.stdout) == (0, "")


def test_load_waits_and_tells_what_came_of_it(server: ServerDouble, cli):
    """`load` says what the loaded model takes."""
    server.on("POST", "/api/admin/load", Canned(ROW))
    result = cli("load", "smollm2-135m", "--keep-alive", "always")
    assert server.bodies("/api/admin/load") == [{"model": "smollm2-135m", "keep_alive": -1}]
    assert "Loaded smollm2-135m: 210 MB, context 8192." in result.stderr


def test_a_model_that_does_not_fit_is_exit_code_6(server: ServerDouble, cli):
    """A load without enough memory is exit code 6 and says what makes room."""
    problem = {"code": "not_enough_memory", "detail": "It needs 8 GB, there are 2."}
    server.on("POST", "/api/admin/load", Canned(problem, status=507))
    result = cli("load", "big")
    assert result.exit_code == 6
    assert "It needs 8 GB" in result.stderr
    assert "localai stop" in result.stderr


def test_stop_unloads(server: ServerDouble, cli):
    """`stop` unloads the model by name."""
    server.on("POST", "/api/admin/unload", Canned({}))
    assert cli("stop", "smollm2-135m").exit_code == 0
    assert server.bodies("/api/admin/unload") == [{"model": "smollm2-135m"}]


def test_without_a_running_server_nothing_is_started(cli, monkeypatch):
    """`ps` without a running server is exit code 5: an empty list of a server made for it would be a lie."""
    monkeypatch.setenv("LOCALAI_PORT", "1")
    result = cli("ps")
    assert result.exit_code == 5
    assert "localai serve" in result.stderr


@pytest.mark.parametrize(("text", "value"), [("always", -1), ("-1", -1), ("0", 0), ("10m", 600)])
def test_lifetimes_are_read(text: str, value: float):
    """A lifetime is a duration, 0, or `always`."""
    assert lifetime(text) == value


def test_a_wrong_lifetime_is_a_usage_error():
    """What is no duration is a usage error that names the option."""
    with pytest.raises(Misused, match="--keep-alive"):
        lifetime("soon")
