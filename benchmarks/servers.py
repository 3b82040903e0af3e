"""The servers that are measured: ours and the bare engine, each a process of its own on loopback."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Client

ROOT = Path(__file__).parent.parent
SMOLLM2 = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Running:
    """A server that answers: where, with which key and model, and its process."""

    url: str
    key: str
    model: str
    pid: int
    ready: float
    """Seconds from start to ready."""

    def client(self, *, keep: bool = False) -> Client:
        """A client for it; `keep` uses connections again, which llama-server does not always survive."""
        return Client(self.url, self.key, self.model, keep=keep)

    def pids(self) -> list[int]:
        """The process and its descendants."""
        found = [self.pid]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    if parent in found:
                        found.append(int(entry.name))
        return found

    def cpu(self) -> float:
        """Seconds of CPU that the process and its descendants have used, by the scheduler's own clock.

        The ticks of /proc/PID/stat would not do: work that timers wake falls together with them and is counted several
        times over.
        """
        total = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(task.read_text().split()[0])
        return total / 1e9

    def memory(self) -> int:
        """Resident bytes of the first process."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.005)
    raise RuntimeError(f"the server ended with {process.returncode}")


@contextlib.contextmanager
def bare(*arguments: str) -> Iterator[Running]:
    """The bare engine over its own HTTP."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.bare", str(SMOLLM2), str(port), *arguments]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield Running(f"http://127.0.0.1:{port}", "none", SMOLLM2.stem, process.pid, time.monotonic() - began)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def ours(models: dict[str, dict[str, object]], **settings: str) -> Iterator[Running]:
    """Our server with these model files; the first is the one asked for."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "models"
        folder.mkdir(mode=0o700)
        (folder / SMOLLM2.name).hardlink_to(SMOLLM2) if Path(home).stat().st_dev == SMOLLM2.stat().st_dev else (
            folder / SMOLLM2.name
        ).write_bytes(SMOLLM2.read_bytes())
        for name, fields in models.items():
            (folder / f"{name}.yaml").write_text(json.dumps({"name": name, **fields}))
        environment = {
            **os.environ,
            "LOCALAI_HOME": home,
            "LOCALAI_PORT": str(port),
            **{f"LOCALAI_{name.upper()}": value for name, value in settings.items()},
        }
        began = time.monotonic()
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "localai"), "serve"],
            env=environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait(f"http://127.0.0.1:{port}/readyz", process)
            ready = time.monotonic() - began
            key = (Path(home) / "admin.key").read_text().strip()
            yield Running(f"http://127.0.0.1:{port}", key, next(iter(models)), process.pid, ready)
        finally:
            process.terminate()
            process.wait(60)
