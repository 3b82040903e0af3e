"""What a process holds, read from outside: descriptors, sockets, threads, children, memory, temporary files."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from gateway import Gateway


@dataclass(frozen=True)
class Held:
    """A count of everything a gateway could leak; `memory` in bytes."""

    descriptors: int
    sockets: int
    threads: int
    children: int
    files: int
    memory: int

    @property
    def counts(self) -> tuple[int, ...]:
        """All but the memory."""
        return self.descriptors, self.sockets, self.threads, self.children, self.files


def held(running: Gateway) -> Held:
    """Look at a gateway now."""
    process = Path(f"/proc/{running.process.pid}")
    targets: list[str] = []
    for link in (process / "fd").iterdir():
        try:
            targets.append(str(link.readlink()))
        except OSError:
            continue  # closed meanwhile
    children = [task.joinpath("children").read_text().split() for task in (process / "task").iterdir()]
    return Held(
        descriptors=len(targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        threads=len(list((process / "task").iterdir())),
        children=sum(map(len, children)),
        files=sum(path.is_file() for path in (running.home / "run").rglob("*")),
        memory=memory(running.process.pid),
    )


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def returns(running: Gateway, before: Held, *, growth: int = 5 * 2**20, seconds: float = 10) -> None:
    """Fail unless everything is as it was `before`, and the memory at most `growth` above it, within `seconds`.

    Threads of the pool may stay: they are made on demand, kept, and bounded.
    """
    deadline = time.monotonic() + seconds
    while True:
        now = held(running)
        same = [
            mine <= then + 32 if place == 2 else mine <= then
            for place, (mine, then) in enumerate(zip(now.counts, before.counts, strict=True))
        ]
        if all(same) and now.memory <= before.memory + growth:
            return
        assert time.monotonic() < deadline, f"before: {before}; now: {now}"
        Event().wait(0.1)


def processor(pid: int, seconds: float) -> float:
    """Seconds of processor time that a process takes in this span of time."""

    def used() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    Event().wait(seconds)
    return used() - before
