"""Which processes there are, as the system tells: who was born when, and who belongs to a worker.

Linux reads /proc. Elsewhere the twin knows less: a process has no birth, so left-overs of a crashed server are not
killed (they end by themselves when their socket does), and only the worker's own group is.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from localai.core.task import Value

LINUX = sys.platform == "linux"
TOKEN = "LOCALAI_SPAWN"  # noqa: S105 - the name of a variable, not a secret
"""The environment variable that marks a worker and all it starts."""

_PROC = Path("/proc")
_SUBREAPER = 36
_PAUSE = 0.01


class Person(Value, frozen=True):
    """One process: its parent, its group and session, its state letter, and its birth in clock ticks since boot."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    born: int


def look(pid: int) -> Person | None:
    """The process of this id; None when there is none (or the system does not tell)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Person(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        born=int(fields[19]),
    )


def lives(pid: int, born: int) -> bool:
    """Whether the process of this id and birth still runs; without births, whether any of this id does."""
    if LINUX:
        person = look(pid)
        return person is not None and person.born == born and person.state not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def belonging(leader: int, token: str, folder: Path) -> list[Person]:
    """Every process but the leader that a worker left: of its session, with its mark, or living in its folder."""
    found: list[Person] = []
    for entry in os.scandir(_PROC) if LINUX else ():
        if not entry.name.isdecimal() or int(entry.name) in (leader, os.getpid()):
            continue
        person = look(int(entry.name))
        if person is not None and (person.session == leader or _marked(person.pid, token, folder)):
            found.append(person)
    return found


def end(leader: int, token: str, folder: Path, *, seconds: float = 2.0) -> int:
    """Kill everything that a worker left behind and collect what became a child of this process.

    Blocks while they die, `seconds` at most. The worker itself must have ended.

    Returns:
        How many are still there.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    known: dict[int, int] = {}
    while True:
        # Once dead, a process has neither mark nor folder: it is remembered until it is collected.
        known |= {person.pid: person.born for person in belonging(leader, token, folder)}
        known = {pid: born for pid, born in known.items() if not _gone(pid, born)}
        if not known or time.monotonic() > deadline:
            return len(known)
        for pid in known:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE)


def adopt() -> None:
    """Become the parent of orphans that workers leave, so that they can be collected (Linux only)."""
    if LINUX:
        import ctypes  # noqa: PLC0415 - needed once, and only here

        ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


def _marked(pid: int, token: str, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        if f"{TOKEN}={token}".encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            return True
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "cwd").readlink().is_relative_to(folder)
    return False


def _gone(pid: int, born: int) -> bool:
    """Whether nothing is left of it: a dead child of ours is collected, a dead one of others is theirs."""
    person = look(pid)
    if person is None or person.born != born:
        return True
    if person.state not in "ZX":
        return False
    if person.parent == os.getpid():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(person.pid, os.WNOHANG)
    return True
