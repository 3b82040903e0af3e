"""Starts real worker processes for tests and speaks wire with them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from localai import wire
from localai.core.event import Done, Event, Failed
from localai.core.model import Model, Sizing
from localai.core.task import Task

PATIENCE = 60.0


class Worker:
    """A worker process with the gateway's end of its connection."""

    def __init__(self, folder: Path) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        command = [sys.executable, "-I", "-m", "localai.worker.main", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, env={}, cwd=folder, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, start_new_session=True
        )
        theirs.close()
        self.beats: list[wire.Beat] = []
        self._deframer = wire.Deframer()
        self._bodies: list[bytes] = []

    def send(self, message: wire.ToWorker) -> None:
        self.socket.sendall(wire.frame(message))

    def next(self, *, beats: bool = False) -> wire.ToGateway:
        """The next message; heartbeats are put aside unless asked for."""
        while True:
            while not self._bodies:
                data = self.socket.recv(65536)
                if not data:
                    raise EOFError(self.stderr())
                self._bodies += self._deframer.feed(data)
            message = wire.decode_to_gateway(self._bodies.pop(0))
            if isinstance(message, wire.Beat):
                self.beats.append(message)
                if not beats:
                    continue
            return message

    def load(self, model: Model, sizing: Sizing | None = None) -> wire.ToGateway:
        self.send(wire.Load(model=model, sizing=sizing or Sizing()))
        return self.next()

    def ask(self, stream: int, task: Task) -> list[Event]:
        self.send(wire.Open(stream=stream, task=task))
        return self.rest(stream)

    def rest(self, stream: int) -> list[Event]:
        """All further events of a stream; every item is paid back at once."""
        events: list[Event] = []
        while not (events and isinstance(events[-1], Done | Failed)):
            message = self.next()
            assert isinstance(message, wire.Item) and message.stream == stream, message
            events.append(message.event)
            self.send(wire.Credit(stream=stream, items=1))
        return events

    def stderr(self) -> str:
        """What the process said, once it has ended."""
        self.process.wait(PATIENCE)
        return self.process.stderr.read().decode()

    def close(self) -> None:
        self.socket.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process.stderr.close()


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process that is not our child ends within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False
