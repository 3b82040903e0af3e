"""A home of its own for each test, the command line, and a server double that it talks to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from localai.cli.main import app
from serverdouble import ServerDouble


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOCALAI_HOST", "LOCALAI_PORT", "LOCALAI_API_KEY", "LOCALAI_OPEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCALAI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def logging(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """How logging was set up by what a test ran; it is not really changed."""
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr("localai.observe.logs.configure", lambda *given: calls.append(given))
    return calls


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerDouble]:
    with ServerDouble() as double:
        monkeypatch.setenv("LOCALAI_HOST", double.url)
        yield double


@pytest.fixture
def cli() -> Callable[..., Result]:
    def invoke(*args: str, piped: str = "") -> Result:
        return CliRunner().invoke(app, list(args), input=piped, catch_exceptions=False, prog_name="localai")

    return invoke
