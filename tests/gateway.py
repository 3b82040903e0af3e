"""A real gateway as a process of its own, as a user starts it: `localai serve` with a home and a port."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SERVE = (str(Path(sys.executable).parent / "localai"), "serve")
MISLED = (sys.executable, str(Path(__file__).with_name("misled.py")))
"""The same server, whose workers are `misbehave.py`."""


class Gateway:
    """A running `localai serve`."""

    def __init__(self, home: Path, command: Sequence[str] = SERVE, **settings: str) -> None:
        self.home = home
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "serve.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCALAI_")}
        environment |= {"LOCALAI_HOME": str(home), "LOCALAI_PORT": str(self.port)}
        environment |= {f"LOCALAI_{name.upper()}": value for name, value in settings.items()}
        self._output = self.log.open("ab")
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def key(self) -> str:
        """The admin key made at first start."""
        return (self.home / "admin.key").read_text().strip()

    def wait(self) -> "Gateway":
        """Return once /readyz says 200."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError, urllib.error.HTTPError):
                if urllib.request.urlopen(f"{self.url}/readyz", timeout=5).status == 200:
                    return self
            threading.Event().wait(0.02)
        raise AssertionError(f"the gateway did not become ready:\n{self.log.read_text()[-4000:]}")

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """One request with the admin key; gives status and JSON (or text)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        for name, value in (
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | headers
        ).items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read())

    def loaded(self) -> list[dict[str, Any]]:
        """The rows of `localai ps`."""
        return self.ask("GET", "/api/admin/loaded")[1]["models"]

    def stop(self) -> int:
        """End it as an operator does; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._output.close()
        return code


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


def write_model(home: Path, name: str, **fields: object) -> None:
    """Put a model file into a home."""
    folder = home / "models"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{name}.yaml").write_text(json.dumps({"name": name, **fields}))


def write_echo(home: Path, name: str = "echo", **fields: object) -> None:
    """Put an echo model into a home."""
    write_model(home, name, **({"engine": "echo", "tasks": ["chat", "complete", "embed", "rerank", "infill"]} | fields))


@contextlib.contextmanager
def gateway(home: Path | None = None, command: Sequence[str] = SERVE, **settings: str) -> Iterator[Gateway]:
    """A gateway that is ready, stopped afterwards."""
    with contextlib.ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_echo(home)
        running = Gateway(home, command, **settings)
        try:
            yield running.wait()
        finally:
            running.stop()
