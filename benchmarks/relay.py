"""What moving a piece of text from one process through another to a client costs by itself.

`python -m benchmarks.relay STREAMS PIECES` prints the seconds of CPU per piece of two processes that do nothing else:
in one a thread per stream that writes a short piece every 3 ms, as the echo engine does; in the other a uvloop that
hands each piece on over TCP. There is no HTTP, no JSON and no framing: it is what the kernel and the wake-ups cost.
"""

import argparse
import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable

import uvloop

PIECE = b"x" * 100
"""About what one chunk of a streamed answer holds between gateway and worker."""
PAUSE = 0.003


def _write(sockets: list[socket.socket], pieces: int) -> None:
    """The first process: a piece to each stream, again and again."""

    def run(out: socket.socket) -> None:
        pause = threading.Event()
        for _ in range(pieces):
            out.sendall(PIECE)
            pause.wait(PAUSE)

    threads = [threading.Thread(target=run, args=(out,)) for out in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _relay(sockets: list[socket.socket], clients: list[socket.socket]) -> None:
    """The second process: hand every piece on until the other side ends."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[None]] = []
        for source, target in zip(sockets, clients, strict=True):
            transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, target)
            end: asyncio.Future[None] = loop.create_future()
            ends.append(end)
            await loop.connect_accepted_socket(lambda out=transport, end=end: _Relay(out, end), source)
        await asyncio.gather(*ends)

    uvloop.run(main())


class _Relay(asyncio.Protocol):
    def __init__(self, out: asyncio.WriteTransport, end: "asyncio.Future[None]") -> None:
        self._out = out
        self._end = end

    def data_received(self, data: bytes) -> None:
        self._out.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._out.close()
        self._end.set_result(None)


def _forked(work: Callable[[], None], go: int) -> int:
    """Start a process that waits for a byte on `go`, works."""
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        work()
        os._exit(0)
    return pid


def _spent(pid: int) -> float:
    """Seconds of CPU a process used until its end."""
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def measure(streams: int, pieces: int) -> float:
    """Seconds of CPU of both processes for one piece."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=streams)
    readers = [socket.create_connection(listener.getsockname()) for _ in range(streams)]
    clients = [listener.accept()[0] for _ in range(streams)]
    pairs = [socket.socketpair() for _ in range(streams)]
    go, start = os.pipe()

    def relay() -> None:
        for out, _ in pairs:
            out.close()
        _relay([source for _, source in pairs], clients)

    def write() -> None:
        for _, source in pairs:
            source.close()
        _write([out for out, _ in pairs], pieces)

    pids = [_forked(relay, go), _forked(write, go)]
    for out, source in pairs:
        out.close()
        source.close()
    for client in clients:
        client.close()
    os.write(start, b"gg")
    for reader in readers:
        while reader.recv(1 << 16):
            pass
    return sum(map(_spent, pids)) / (streams * pieces)


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("streams", type=int)
    parser.add_argument("pieces", type=int)
    given = parser.parse_args()
    sys.stdout.write(f"{measure(given.streams, given.pieces)}\n")


if __name__ == "__main__":
    main()
