"""Which server a command talks to."""

from pathlib import Path

import pytest

from localai.cli.errors import Misused
from localai.cli.target import address, own_key, settings, target


def _write_key(home: Path) -> None:
    home.mkdir()
    (home / "admin.key").write_text("sk-own\n")


def test_nothing_named_is_this_machines_own_server(home: Path):
    """Without flags and variables it is the configured port of this machine, with the key of its home."""
    _write_key(home)
    found = target(None, None, None)
    assert (found.url, found.key, found.own) == ("http://127.0.0.1:8080", "sk-own", True)


def test_the_port_setting_is_used(monkeypatch: pytest.MonkeyPatch):
    """LOCALAI_PORT moves this machine's own server, which stays one that a command may start."""
    monkeypatch.setenv("LOCALAI_PORT", "9001")
    found = target(None, None, None)
    assert (found.url, found.own) == ("http://127.0.0.1:9001", True)


def test_localai_host_names_a_server_that_is_not_started(monkeypatch: pytest.MonkeyPatch):
    """A server named by LOCALAI_HOST is never replaced by an embedded one."""
    monkeypatch.setenv("LOCALAI_HOST", "box:9000")
    found = target(None, None, None)
    assert (found.url, found.own) == ("http://box:9000", False)


def test_flags_beat_variables(monkeypatch: pytest.MonkeyPatch):
    """--host, --port and --api-key stand above LOCALAI_HOST and LOCALAI_API_KEY."""
    monkeypatch.setenv("LOCALAI_HOST", "box:9000")
    monkeypatch.setenv("LOCALAI_API_KEY", "sk-variable")
    found = target("other", 7000, "sk-flag")
    assert (found.url, found.key) == ("http://other:7000", "sk-flag")


def test_a_port_alone_means_this_machine(home: Path):
    """--port alone names a server of this machine, with its key, that is not started."""
    _write_key(home)
    found = target(None, 9000, None)
    assert (found.url, found.key, found.own) == ("http://127.0.0.1:9000", "sk-own", False)


def test_the_own_key_goes_to_no_other_machine(home: Path):
    """admin.key is sent to loopback addresses only."""
    _write_key(home)
    assert target("box", None, None).key is None
    assert target("localhost", None, None).key == "sk-own"
    assert target("[::1]:8080", None, None).key == "sk-own"


def test_a_key_is_not_in_the_text_of_a_target():
    """A target that ends up in a message shows no key."""
    assert "sk-flag" not in repr(target("box", None, "sk-flag"))


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("box", "http://box:8080"),
        ("box:9000", "http://box:9000"),
        ("https://ai.example", "https://ai.example"),
        ("https://ai.example/prefix/", "https://ai.example/prefix"),
        ("http://box:81", "http://box:81"),
        ("::1", "http://[::1]:8080"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:8080"),
    ],
)
def test_addresses_are_read_as_people_write_them(named: str, url: str):
    """A host, host:port, IPv6 address or URL becomes a base URL; an address to listen on means loopback."""
    assert address(named) == url


@pytest.mark.parametrize("named", ["ftp://box", "http://", "box:port", "http://[::1"])
def test_what_is_no_address_is_a_usage_error(named: str):
    """What names no server is refused before anything is sent."""
    with pytest.raises(Misused):
        address(named)


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch):
    """A variable that is not valid is a usage error that names it."""
    monkeypatch.setenv("LOCALAI_PORT", "many")
    with pytest.raises(Misused) as caught:
        settings()
    assert "LOCALAI_PORT" in caught.value.why


def test_no_home_is_no_key():
    """Before the first start there is no key, and no error."""
    assert own_key() is None
