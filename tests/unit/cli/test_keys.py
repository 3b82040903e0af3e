"""`keys create`, `keys list` and `keys revoke`."""

import json

from serverdouble import Canned, ServerDouble

MADE = {"id": "k1", "secret": "sk-k1-abc", "name": "laptop"}


def test_the_secret_alone_is_data(server: ServerDouble, cli):
    """`keys create` writes the secret alone to standard output, and the remark that it is shown once beside it."""
    server.on("POST", "/api/admin/keys", Canned(MADE))
    result = cli("keys", "create", "laptop")
    assert result.stdout == "sk-k1-abc\n"
    assert "k1 (infer)" in result.stderr
    assert server.bodies("/api/admin/keys") == [{"name": "laptop", "scopes": ["infer"]}]


def test_scopes_models_and_expiry_are_passed_on(server: ServerDouble, cli):
    """--scope and --model can be repeated, and --expires becomes seconds."""
    server.on("POST", "/api/admin/keys", Canned(MADE))
    options = ("--scope", "infer", "--scope", "metrics", "--model", "x", "--model", "y", "--expires", "30d")
    assert json.loads(cli("keys", "create", "ci", *options, "--json").stdout) == MADE
    assert server.bodies("/api/admin/keys") == [
        {"name": "ci", "scopes": ["infer", "metrics"], "models": ["x", "y"], "expires": 2_592_000},
    ]


def test_a_wrong_expiry_makes_no_key(server: ServerDouble, cli):
    """A duration that cannot be read is a usage error before anything is made."""
    assert cli("keys", "create", "x", "--expires", "soon").exit_code == 2
    assert server.requests == []


def test_keys_are_listed_without_secrets(server: ServerDouble, cli):
    """`keys list` shows who may do what until when."""
    rows = [
        {"id": "k1", "name": "laptop", "scopes": ["infer"], "models": None, "expires": None},
        {"id": "k2", "name": "ci", "scopes": ["infer", "metrics"], "models": ["x"], "expires": 4_102_444_800},
    ]
    server.on("GET", "/api/admin/keys", Canned({"keys": rows}))
    first, second = cli("keys", "list").stdout.splitlines()[1:]
    assert first.split() == ["k1", "laptop", "infer", "all", "never"]
    assert second.split()[:4] == ["k2", "ci", "infer,metrics", "x"]
    assert json.loads(cli("keys", "list", "--json").stdout) == rows


def test_no_keys(server: ServerDouble, cli):
    """Without keys, standard output is empty."""
    server.on("GET", "/api/admin/keys", Canned({"keys": []}))
    assert cli("keys", "list").stdout == ""


def test_revoke(server: ServerDouble, cli):
    """`keys revoke` ends the key of that id."""
    server.on("DELETE", "/api/admin/keys/k1", Canned({}))
    assert cli("keys", "revoke", "k1").exit_code == 0
    assert server.requests[0].method == "DELETE"


def test_without_the_right_it_is_exit_code_4(server: ServerDouble, cli):
    """A key that may not make keys is exit code 4."""
    server.on("POST", "/api/admin/keys", Canned({"code": "insufficient_scope", "detail": "No."}, status=403))
    assert cli("keys", "create", "x").exit_code == 4
