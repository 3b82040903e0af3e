"""One engine process: started with nothing but a socket, heard when it exits, ended with everything it started.

It gets an empty environment, a folder of its own, no standard input, and a pipe for what it prints, of which the last
TAIL bytes are kept. It leads a session of its own, so that a signal reaches its whole family. The folder holds a note
of who it is, by which the next server finds what a killed one left behind.
"""

import asyncio
import contextlib
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from localai.core.task import Value
from localai.fleet import census

TAIL = 64 * 1024
"""Bytes kept of what a process prints."""
_CHUNK = 64 * 1024
_NOTE = "process"

Command = Callable[[int], Sequence[str]]
"""Makes the command line of a worker that inherits its socket as this file descriptor."""


def worker(descriptor: int) -> Sequence[str]:
    """The command line of the real worker; `-I` keeps the environment and the current folder out of its imports."""
    return [sys.executable, "-I", "-m", "localai.worker.main", str(descriptor)]


class Exit(Value, frozen=True):
    """How a process ended: its status, or the name of the signal that ended it, and the last it printed."""

    status: int = 0
    signal: str = ""
    tail: bytes = b""
    left: int = 0
    """Processes it left behind that could not be killed."""

    @property
    def cause(self) -> str:
        """The end in a word or two, as logs, metrics and errors name it: "SIGKILL", "exit 3"."""
        return self.signal or f"exit {self.status}"


class _Note(Value, frozen=True):
    pid: int
    born: int
    token: str
    owner: int
    owner_born: int


class Process:
    """A running worker process. Made and used on the event loop; `on_exit` is called there, once."""

    def __init__(self, run: Path, command: Command, on_exit: Callable[[Exit], None]) -> None:
        """Start it.

        The start blocks for about a millisecond and must not move to another thread: a worker asks to die with its
        parent, and the system takes the thread that started it for the parent.

        Args:
            run: Folder under which the process gets its own (mode 0700), removed after its end.
            command: Makes the command line.
            on_exit: Told when the process and all it started are gone.

        Raises:
            OSError: No process, folder or socket could be made; nothing is left of the attempt.
        """
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        self._token = secrets.token_hex(8)
        self._tail = bytearray()
        self._over = False
        self.folder = run / self._token
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        try:
            self.socket = self._spawn(command)
        except OSError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.pid = self._popen.pid
        self._note()
        self._exit = _exit_event(self.pid)
        self._loop.add_reader(self._exit, self._exited)
        self._loop.add_reader(self._pipe, self._printed)

    def terminate(self) -> None:
        """Ask the whole group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group now; what left the group is found and ended after the exit."""
        self._signal(signal.SIGKILL)

    def _spawn(self, command: Command) -> socket.socket:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        home = str(self.folder)
        try:
            self._popen = subprocess.Popen(
                command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env={census.TOKEN: self._token, "HOME": home, "TMPDIR": home},
                cwd=home,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            os.close(reading)
            raise
        finally:
            theirs.close()
            os.close(writing)
        os.set_blocking(reading, False)
        self._pipe = reading
        return ours

    def _note(self) -> None:
        note = _Note(
            pid=self.pid,
            born=_born(self.pid),
            token=self._token,
            owner=os.getpid(),
            owner_born=_born(os.getpid()),
        )
        (self.folder / _NOTE).write_bytes(msgspec.json.encode(note))

    def _signal(self, number: signal.Signals) -> None:
        # Until the exit is heard and collected the number cannot belong to anybody else.
        if not self._over:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _printed(self) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._pipe, _CHUNK)
            if not data:
                self._loop.remove_reader(self._pipe)
        self._tail += data
        del self._tail[:-TAIL]

    def _exited(self) -> None:
        self._over = True
        self._loop.remove_reader(self._exit)
        self._loop.remove_reader(self._pipe)
        os.close(self._exit)
        for _ in range(2 * TAIL // _CHUNK):
            self._printed()
        os.close(self._pipe)
        # The future is kept by the loop's executor; the loop hears of its end in `_collected`.
        self._loop.run_in_executor(None, self._collect).add_done_callback(self._collected)

    def _collect(self) -> Exit:
        """In a thread: end what it left behind, then collect it and remove its folder."""
        left = census.end(self.pid, self._token, self.folder)
        status = self._popen.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        name = signal.Signals(-status).name if status < 0 else ""
        return Exit(status=max(status, 0), signal=name, tail=bytes(self._tail), left=left)

    def _collected(self, future: "asyncio.Future[Exit]") -> None:
        self._on_exit(future.result())


def sweep(run: Path) -> int:
    """End what a server that was killed left behind, and remove its folders. Blocks; call it before the first start.

    Workers of another server that still lives are left alone.

    Returns:
        How many processes were found and killed.
    """
    killed = 0
    for folder in run.iterdir() if run.is_dir() else ():
        note = _read_note(folder)
        if note is not None:
            if census.lives(note.owner, note.owner_born):
                continue
            killed += _end_left_over(note, folder)
        shutil.rmtree(folder, ignore_errors=True)
    return killed


def _end_left_over(note: _Note, folder: Path) -> int:
    """Kill a worker without a server and all it started, unless its number has gone to another process since."""
    leader = census.look(note.pid)
    if not census.LINUX or (leader is not None and leader.born != note.born):
        return 0
    lived = census.lives(note.pid, note.born)
    left = census.belonging(note.pid, note.token, folder)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if lived:
            os.kill(note.pid, signal.SIGKILL)
    if lived or left:
        census.end(note.pid, note.token, folder)
    return len(left) + lived


def _born(pid: int) -> int:
    """When a process was born; 0 where the system does not tell."""
    person = census.look(pid)
    return person.born if person is not None else 0


def _read_note(folder: Path) -> _Note | None:
    try:
        return msgspec.json.decode((folder / _NOTE).read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError):
        return None


def _exit_event(pid: int) -> int:
    """A file descriptor that becomes readable when the process ends."""
    if sys.platform == "linux":
        return os.pidfd_open(pid)
    queue = select.kqueue()
    event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
    queue.control([event], 0)
    descriptor = os.dup(queue.fileno())
    queue.close()
    return descriptor
