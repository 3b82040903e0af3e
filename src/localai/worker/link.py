"""The worker's end of the connection: whole frames in, whole frames out, and a heartbeat."""

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage

from localai import wire
from localai.worker.beater import open_statistics, resident

_CHUNK = 256 * 1024


class Link:
    """One socket; any thread may send, one thread receives. A broken connection ends the process."""

    def __init__(self, connection: socket.socket) -> None:
        self.progress = 0
        """Grows with every item that was sent."""
        self.connection = connection
        self._statistics = open_statistics(os.getpid())
        self._sending = threading.Lock()
        self._deframer = wire.Deframer()
        self._bodies: deque[bytes] = deque()

    def send(self, message: wire.ToGateway) -> None:
        """Send one message.

        Raises:
            InternalError: It is larger than a frame may be; nothing was sent.
        """
        data = wire.frame(message)
        with self._sending:
            self._write(data)

    def send_item(self, data: bytes) -> None:
        """Send a frame that carries an Item, and count it as progress."""
        with self._sending:
            self.progress += 1
            self._write(data)

    def receive(self) -> bytes | None:
        """Wait for the next frame body; None when the connection ended.

        Raises:
            InternalError: The other side announced an impossible frame.
        """
        while not self._bodies:
            try:
                data = self.connection.recv(_CHUNK)
            except OSError:
                return None
            if not data:
                return None
            self._bodies.extend(self._deframer.feed(data))
        return self._bodies.popleft()

    def memory(self) -> int:
        """Resident bytes of this process."""
        if self._statistics >= 0:
            return resident(self._statistics)
        return getrusage(RUSAGE_SELF).ru_maxrss

    def beat(self, busy: Callable[[], int]) -> None:
        """Start the heartbeat: a Beat at once and one every BEAT seconds, from a thread of its own."""
        threading.Thread(target=self._beat, args=(busy,), name="beat", daemon=True).start()

    def _beat(self, busy: Callable[[], int]) -> None:
        pause = threading.Event()
        while True:
            beat = wire.Beat(progress=self.progress, busy=busy(), memory=self.memory(), phase="ready")
            self.send(beat)
            pause.wait(wire.BEAT)

    def _write(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError:
            # Nobody is there any more: there is nothing left to do and nobody to tell.
            os._exit(0)
