"""The running server, or one for the length of the command."""

import sys
from types import ModuleType
from typing import Any, ClassVar

import pytest

from localai.cli.errors import Unreachable
from localai.cli.server import alive, connected
from localai.cli.target import Target
from serverdouble import Canned, ServerDouble


class AppDouble:
    """Stands for the application: its address is that of a server double."""

    url: ClassVar[str] = ""
    events: ClassVar[list[str]] = []

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.key = "sk-embedded"

    async def start(self) -> str:
        self.events.append(f"start {self.settings.host}:{self.settings.port}")
        return self.url

    async def stop(self) -> None:
        self.events.append("stop")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> type[AppDouble]:
    module = ModuleType("localai.app")
    module.App = AppDouble
    monkeypatch.setitem(sys.modules, "localai.app", module)
    monkeypatch.setattr(AppDouble, "events", [])
    return AppDouble


def test_a_running_server_is_used(server: ServerDouble):
    """When this machine's own server runs, a command talks to it."""
    server.on("GET", "/thing", Canned({"a": 1}))
    with connected(Target(server.url, own=True)) as client:
        assert client.get("/thing") == {"a": 1}


def test_without_one_a_server_is_started_and_stopped(server: ServerDouble, app: type[AppDouble], monkeypatch):
    """When none runs, a server on a free loopback port lives as long as the command, with all rights."""
    server.on("GET", "/thing", Canned({"a": 1}))
    monkeypatch.setattr(app, "url", server.url)
    with connected(Target("http://127.0.0.1:1", own=True)) as client:
        assert client.get("/thing") == {"a": 1}
        assert app.events == ["start 127.0.0.1:0"]
    assert app.events == ["start 127.0.0.1:0", "stop"]
    assert server.requests[0].headers["authorization"] == "Bearer sk-embedded"


def test_the_embedded_server_stops_when_the_command_fails(server: ServerDouble, app: type[AppDouble], monkeypatch):
    """An error in the command stops the embedded server too."""
    monkeypatch.setattr(app, "url", server.url)
    with pytest.raises(ZeroDivisionError), connected(Target("http://127.0.0.1:1", own=True)):
        raise ZeroDivisionError
    assert app.events[-1] == "stop"


def test_a_verb_that_needs_a_running_server_starts_none(app: type[AppDouble]):
    """`ps` and its like say that no server runs (exit code 5) instead of starting one."""
    with pytest.raises(Unreachable), connected(Target("http://127.0.0.1:1", own=True), start=False):
        pass
    assert app.events == []


def test_a_named_server_is_not_asked_first(server: ServerDouble):
    """A server that was named is used as it is."""
    with connected(Target(server.url, key="sk-x")):
        pass
    assert server.requests == []


def test_another_program_on_the_port_never_gets_the_key(app: type[AppDouble], monkeypatch, capsys):
    """When something else listens on the port, it is told no key, and the command uses a server of its own."""
    with ServerDouble(request_id="") as other, ServerDouble() as mine:
        monkeypatch.setattr(app, "url", mine.url)
        with connected(Target(other.url, key="sk-own", own=True)) as client:
            assert client.url == mine.url
        assert all("authorization" not in request.headers for request in other.requests)
    assert "not LocalAI" in capsys.readouterr().err


def test_nobody_is_not_alive():
    """A port that nobody listens on is not a server."""
    assert not alive("http://127.0.0.1:1")
