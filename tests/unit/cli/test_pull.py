"""`localai pull`."""

import pytest

from serverdouble import Canned, ServerDouble, ndjson

INSTALLED = {"phase": "installed", "done": 0, "total": 0, "name": "smollm2-135m"}


def test_pull_shows_progress_and_writes_the_name(server: ServerDouble, cli):
    """A pull tells its phases on standard error, and standard output is the name the model got."""
    steps = ({"phase": "resolving"}, {"phase": "downloading", "done": 5, "total": 10}, INSTALLED)
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson(*steps)))
    result = cli("pull", "starter")
    assert (result.exit_code, result.stdout) == (0, "smollm2-135m\n")
    assert "downloading starter (10 B)" in result.stderr
    assert "localai run smollm2-135m" in result.stderr
    assert server.bodies("/api/admin/pull") == [{"source": "starter"}]


def test_a_model_that_was_there_is_said(server: ServerDouble, cli):
    """Pulling what is installed is no error, and says so."""
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson(INSTALLED | {"already": True})))
    result = cli("pull", "starter")
    assert (result.exit_code, result.stdout) == (0, "smollm2-135m\n")
    assert "was installed already" in result.stderr


def test_pull_passes_name_and_hash(server: ServerDouble, cli):
    """--name and --sha256 reach the server."""
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson(INSTALLED)))
    cli("pull", "https://host/x.gguf", "--name", "mine", "--sha256", "ab" * 32)
    assert server.bodies("/api/admin/pull") == [
        {"source": "https://host/x.gguf", "name": "mine", "sha256": "ab" * 32},
    ]


@pytest.mark.parametrize(("code", "exit_code"), [("hash_mismatch", 1), ("not_enough_disk", 6), ("", 1)])
def test_a_failed_pull_says_why(server: ServerDouble, cli, code: str, exit_code: int):
    """A pull that fails on the server shows the server's sentence, with the exit code of its error."""
    failed = {"phase": "failed", "error": "It did not work.", "code": code}
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson({"phase": "verifying"}, failed)))
    result = cli("pull", "starter")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert "Error: It did not work." in result.stderr


def test_a_cut_pull_is_no_success(server: ServerDouble, cli):
    """A stream that ends before the model is installed is a failure that says to pull again."""
    server.on("POST", "/api/admin/pull", Canned(pieces=ndjson({"phase": "downloading", "done": 1, "total": 2})))
    result = cli("pull", "starter")
    assert result.exit_code == 1
    assert "`localai pull starter`" in result.stderr


def test_no_room_is_exit_code_6(server: ServerDouble, cli):
    """A pull that does not fit on the disk has the exit code of a full machine."""
    server.on("POST", "/api/admin/pull", Canned({"code": "not_enough_disk", "detail": "No space."}, status=507))
    result = cli("pull", "starter")
    assert result.exit_code == 6
    assert "localai rm" in result.stderr
