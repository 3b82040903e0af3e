"""A server for the length of one command."""

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

from localai.cli import embedded as module
from localai.cli.embedded import embedded
from localai.cli.errors import Failure, Full
from localai.core.errors import NotEnoughDisk


def application(monkeypatch, **methods: Any) -> list[Any]:
    """Put a double of the application in its place; answers the list of those that were made."""
    made: list[Any] = []

    class App:
        key = "sk-embedded"

        def __init__(self, settings: Any) -> None:
            self.settings = settings
            made.append(self)

        async def start(self) -> str:
            return "http://127.0.0.1:1"

        async def stop(self) -> None:
            self.stopped = True

    for name, method in methods.items():
        setattr(App, name, method)
    module: Any = ModuleType("localai.app")
    module.App = App
    monkeypatch.setitem(sys.modules, "localai.app", module)
    return made


def test_it_listens_on_loopback_whatever_is_configured(monkeypatch, logging):
    """The embedded server takes a free loopback port, whatever address is configured, and logs errors only."""
    monkeypatch.setenv("LOCALAI_HOST", "0.0.0.0")
    monkeypatch.setenv("LOCALAI_PORT", "9000")
    made = application(monkeypatch)
    with embedded() as target:
        assert (target.url, target.key) == ("http://127.0.0.1:1", "sk-embedded")
    assert (made[0].settings.host, made[0].settings.port) == ("127.0.0.1", 0)
    assert made[0].stopped
    assert logging == [("error", None)]


def test_a_refusal_to_start_has_its_exit_code(monkeypatch):
    """When the application cannot start, its own sentence is shown with its exit code."""

    async def start(self) -> str:
        raise NotEnoughDisk("The disk is full.")

    application(monkeypatch, start=start)
    with pytest.raises(Full, match=r"The disk is full\."), embedded():
        pass


def test_a_home_that_cannot_be_used_is_explained(monkeypatch):
    """An operating system error at the start points to the home and to `doctor`."""

    async def start(self) -> str:
        raise PermissionError

    application(monkeypatch, start=start)
    with pytest.raises(Failure) as caught, embedded():
        pass
    assert "doctor" in caught.value.fix


def test_a_start_that_hangs_is_given_up(monkeypatch):
    """A start that does not end is given up after its time, and cancelled."""
    cancelled: list[bool] = []

    async def start(self) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        return ""

    application(monkeypatch, start=start)
    monkeypatch.setattr(module, "START", 0.05)
    with pytest.raises(Failure, match="did not start"), embedded():
        pass
    assert cancelled == [True]
