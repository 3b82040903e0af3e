"""The heartbeat while a model loads: a small child process, because a loading engine may hold the interpreter's lock.

It shares the connection and is the only one to write to it until the loading is over.
"""

import os
import select
import socket
from pathlib import Path
from typing import NoReturn

from localai import wire
from localai.worker import jail


class Beater:
    """Sends a Beat each second until stopped. Start it before any thread, and before the jail forbids forking."""

    def __init__(self, connection: socket.socket, folder: Path) -> None:
        waiting, self._leash = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._leash)
            _beat(connection, waiting, folder)
        os.close(waiting)

    def stop(self) -> None:
        """End the child and wait for it: after this the connection is ours alone."""
        os.close(self._leash)
        os.waitpid(self._child, 0)


def _beat(connection: socket.socket, leash: int, folder: Path) -> NoReturn:
    """Beat until the other end of the leash is let go, by intent or by death."""
    try:
        statistics = open_statistics(os.getppid())
        jail.enter((), folder)
        poll = select.poll()
        poll.register(leash, select.POLLIN | select.POLLHUP)
        while True:
            beat = wire.Beat(progress=0, busy=0, memory=resident(statistics), phase="loading")
            connection.sendall(wire.frame(beat))
            if poll.poll(wire.BEAT * 1000):
                break
    finally:
        os._exit(0)


def open_statistics(process: int) -> int:
    """Open the memory statistics of a process; -1 where the system has none."""
    try:
        return os.open(f"/proc/{process}/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def resident(statistics: int) -> int:
    """Resident bytes, from an open /proc/PID/statm; 0 where there is none."""
    try:
        return int(os.pread(statistics, 256, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
