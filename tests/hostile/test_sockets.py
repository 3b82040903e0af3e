"""Too many connections, and slow ones, against a real gateway process (F15, F16)."""

import resource
import socket
import threading
import time

import pytest

import baseline
from gateway import SERVE, Gateway, gateway
from sse import ask

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def many_files():
    """Let this process hold some thousand sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(running: Gateway, count: int, data: bytes = b"") -> list[socket.socket]:
    sockets = []
    for _ in range(count):
        sockets.append(socket.create_connection(("127.0.0.1", running.port), 10))
        if data:
            sockets[-1].sendall(data)
    return sockets


def dead(each: socket.socket) -> bool:
    """Whether the server has ended this connection; what it said first is read away."""
    each.setblocking(False)
    try:
        while each.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def first(each: socket.socket) -> bytes:
    """The first bytes that a connection gets; nothing when it is cut."""
    try:
        return each.recv(12)
    except ConnectionResetError:
        return b""


def took(running: Gateway, count: int = 5) -> float:
    """Median seconds of a good request on a new connection."""
    times = []
    for _ in range(count):
        began = time.monotonic()
        assert running.ask("POST", CHAT, ask("good"))[0] == 200
        times.append(time.monotonic() - began)
    return sorted(times)[count // 2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["head", "body"])
def test_a_thousand_slow_clients(kind: str):
    """1,000 slow clients are all cut at the deadline and a second, cost 30 kB each, and good requests go on (F15)."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX: "
    with gateway() as running:
        key = running.key.encode()
        body = head + b"y\r\nAuthorization: Bearer " + key + b"\r\nContent-Length: 100000\r\n\r\n{"
        calm = took(running, 20)
        before = baseline.held(running)
        began = time.monotonic()
        slow = connect(running, 1000, head if kind == "head" else body)
        grown = baseline.held(running).memory - before.memory
        assert grown < 1000 * 30_000
        busy: list[float] = []
        threading.Event().wait(1.2)  # so long a client may take for its request where places are rare
        while time.monotonic() - began < 9:
            busy.append(took(running, 1))
            for each in slow[:: 1 + len(busy) % 7]:
                try:
                    each.send(b"x")
                except OSError:
                    continue
            threading.Event().wait(0.3)
        assert sorted(busy)[len(busy) // 2] < 2 * calm + 0.01
        left = [each for each in slow if not dead(each)]
        while left:
            assert time.monotonic() - began < 13, f"{len(left)} still live"
            threading.Event().wait(0.1)
            left = [each for each in left if not dead(each)]
        for each in slow:
            each.close()
        baseline.returns(running, before, growth=32 * 2**20)  # what a heap keeps that once held 1,000 connections


def limited(files: int) -> list[str]:
    """The command of a server that may open this many files."""
    return ["/bin/sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *SERVE]


def test_a_thousand_connects_with_few_files():
    """1,000 connects at once with 256 descriptors: refused with 503 past the cap, no spinning, then as before (F16)."""
    with gateway(None, limited(256)) as running:
        calm = took(running)
        before = baseline.held(running)
        held = connect(running, 1000)
        assert baseline.held(running).descriptors < 256 - 64
        assert [first(each) for each in held[130:162]].count(b"HTTP/1.1 503") >= 16
        deadline = time.monotonic() + 10
        while sum(dead(each) for each in held) < 1000 - 128:
            assert time.monotonic() < deadline
            threading.Event().wait(0.1)
        assert baseline.processor(running.process.pid, 1.0) < 0.3
        assert took(running) < 10 * calm + 0.1  # a silent connection gives way
        for each in held:
            each.close()
        baseline.returns(running, before)


@pytest.mark.slow
def test_five_thousand_idle_connections():
    """5,000 clients that ask once and stay connected: the newest is always served and the rest give way (F16)."""
    question = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with gateway() as running:
        calm = took(running)
        marks = []
        for _ in range(2):
            held = []
            for _ in range(2500):
                (each,) = connect(running, 1, question)
                assert each.recv(12) == b"HTTP/1.1 200"
                held.append(each)
            assert baseline.held(running).sockets <= 1000 + 8
            assert took(running) < 2 * calm + 0.05
            for each in held:
                each.close()
            threading.Event().wait(0.5)
            marks.append(baseline.held(running))
        baseline.returns(running, marks[0], growth=12 * 2**20)
