"""The file of remote MCP servers."""

import json
from pathlib import Path

import pytest

from localai.core.errors import FetchFailed, InvalidRequest, NotFound
from localai.service import remotes as module
from localai.service.remotes import Remotes, read


def written(folder: Path, text: str) -> Path:
    file = folder / "servers"
    file.write_text(text)
    return file


def test_yaml_and_json_are_read(tmp_path: Path):
    """The file may be YAML or JSON, with or without the wrapper that other programs write."""
    entry = {"url": "https://tools.example/mcp", "headers": {"X-Team": "a"}, "tools": ["search"], "timeout": 5}
    yaml = "desk:\n  url: https://tools.example/mcp\n  headers: {X-Team: a}\n  tools: [search]\n  timeout: 5\n"
    for text in (yaml, json.dumps({"desk": entry}), json.dumps({"mcpServers": {"desk": entry}})):
        found = read(written(tmp_path, text))
        assert found.names == ("desk",)
        remote = found.get("desk", "x")
        assert (remote.url, remote.tools, remote.timeout, remote.private) == (entry["url"], ("search",), 5, False)
        assert remote.all_headers() == {"X-Team": "a"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"desk": {"command": "rm", "args": ["-rf"]}}', "desk.url"),
        ('{"desk": {"url": "https://a.example", "command": "rm"}}', "desk.command"),
        ('{"desk": {"url": "ftp://a.example"}}', "plain http or https"),
        ('{"desk": {"url": "https://user:pass@a.example"}}', "logins"),
        ('{"a b": {"url": "https://a.example"}}', "letters, digits"),
        ('{"desk": {"url": "https://a.example", "headers": {"A": "b\\nc"}}}', "cannot be sent"),
        ('{"desk": {"url": "https://a.example", "timeout": 0}}', "desk.timeout"),
        ("[1]", "must hold an object"),
        ("{", "neither YAML nor JSON"),
        ("a: !!python/object:os.system {}", "neither YAML nor JSON"),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, text: str, said: str):
    """A file that is not what it should be is an error that says what is wrong where; commands are never taken."""
    with pytest.raises(InvalidRequest) as caught:
        read(written(tmp_path, text))
    assert said in caught.value.message
    assert caught.value.param == "mcp_servers"


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file, the number of servers and the file of a secret are bounded, and a missing file is told."""
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "nothing")
    file = written(tmp_path, json.dumps({name: {"url": "https://a.example"} for name in "ab"}))
    monkeypatch.setattr(module, "SERVERS", 1)
    with pytest.raises(InvalidRequest, match="more than 1 servers"):
        read(file)
    monkeypatch.setattr(module, "FILE", 10)
    with pytest.raises(InvalidRequest, match="larger"):
        read(file)


def test_secrets_come_from_files(tmp_path: Path):
    """The value of a secret header is what its file holds at that moment; a file without one is an error."""
    secret = tmp_path / "key"
    secret.write_text("Bearer one\n")
    entry = {"url": "https://a.example", "secret_headers": {"Authorization": str(secret)}}
    remote = read(written(tmp_path, json.dumps({"desk": entry}))).get("desk", "x")
    assert remote.all_headers() == {"Authorization": "Bearer one"}
    secret.write_text("Bearer two")
    assert remote.all_headers() == {"Authorization": "Bearer two"}
    for text in ("", "a\nb", "é"):
        secret.write_text(text)
        with pytest.raises(FetchFailed, match="Authorization"):
            remote.all_headers()


def test_an_unknown_server_is_not_found():
    """A name that is not configured is a NotFound that says which are."""
    with pytest.raises(NotFound, match="Configured: none") as caught:
        Remotes().get("desk", "mcp_servers")
    assert caught.value.param == "mcp_servers"
