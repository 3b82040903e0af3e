"""`status` and `version`."""

import json

from localai.core.version import version
from serverdouble import Canned, ServerDouble

FOUND = {
    "version": "0.1.0",
    "uptime": 190,
    "home": "/srv/localai",
    "url": "http://127.0.0.1:8080",
    "engines": ["echo", "llama"],
    "memory": {"total": 8_000_000_000, "used": 210_000_000, "free": 7_790_000_000},
    "models": 3,
    "loaded": 1,
    "problems": {"broken.yaml": "line 3: no such field"},
}


def test_status_in_words(server: ServerDouble, cli):
    """`status` shows address, memory and models as data, and broken model files as remarks."""
    server.on("GET", "/api/admin/status", Canned(FOUND))
    result = cli("status")
    facts = {line.split("  ")[0].strip(): line.split("  ")[-1].strip() for line in result.stdout.splitlines()}
    assert facts["up"] == "3 m 10 s"
    assert facts["memory"] == "210 MB of 8.0 GB for models"
    assert facts["models"] == "3 installed, 1 loaded"
    assert "Problem with broken.yaml: line 3: no such field" in result.stderr


def test_status_as_json(server: ServerDouble, cli):
    """`status --json` is the server's own answer."""
    server.on("GET", "/api/admin/status", Canned(FOUND))
    assert json.loads(cli("status", "--json").stdout) == FOUND


def test_version_names_program_and_python(cli):
    """`version` needs no server and names the program's version."""
    assert cli("version").stdout.startswith(f"localai {version()} (Python 3.")
    assert json.loads(cli("version", "--json").stdout)["version"] == version()
