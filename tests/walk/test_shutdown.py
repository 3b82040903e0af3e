"""How a gateway ends: by a signal with many streams under way, or killed."""

import http.client
import signal
import threading
import time
from pathlib import Path

import pytest

from gateway import Gateway, gateway, write_echo
from sse import Reader, Stream, ask, text

CHAT = "/v1/chat/completions"
LONG = "word " * 5000


def open_streams(running: Gateway, count: int, prompt: str, model: str = "echo") -> list[Reader]:
    body = ask(prompt, model=model, stream=True)
    readers = [Reader(Stream(running.port, running.key, CHAT, body)) for _ in range(count)]
    for reader in readers:
        assert reader.begun.wait(20)
    return readers


def pids(running: Gateway) -> list[int]:
    return [row["pid"] for row in running.loaded()]


def living(numbers: list[int]) -> list[int]:
    """Those that still run; one that is dead and only waits for the machine's init to take note does not."""
    return [number for number in numbers if _state(number) not in {"", "Z", "X"}]


def _state(number: int) -> str:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


@pytest.mark.slow
def test_sigterm_with_thirty_two_streams(tmp_path):
    """SIGTERM with 32 streams: /readyz is 503 in 100 ms, half finish, half are told, exit 0, no child (F24)."""
    write_echo(tmp_path, options={"delay": 0.02}, context=100_000, slots=32)
    with gateway(tmp_path, drain_timeout="4") as running:
        short = open_streams(running, 16, "word " * 100)
        long = open_streams(running, 16, LONG)
        workers = pids(running)
        probe = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
        probe.request("GET", "/readyz")
        assert probe.getresponse().read()
        running.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        ready = 200
        while ready == 200:
            probe.request("GET", "/readyz")
            answer = probe.getresponse()
            answer.read()
            ready = answer.status
        told = time.monotonic() - asked
        probe.close()
        with pytest.raises(OSError):
            http.client.HTTPConnection("127.0.0.1", running.port, timeout=5).connect()
        assert (ready, told < 0.1) == (503, True)
        for reader in short:
            assert text(reader.ended().events) == "word " * 100
        for reader in long:
            assert reader.ended().errors == ["server_shutting_down"]
        assert running.process.wait(20) == 0
        assert time.monotonic() - asked < 4 + 2
        assert not living(workers)


def test_a_second_sigterm_is_immediate(tmp_path):
    """A second SIGTERM ends everything at once, also with streams under way (F24)."""
    write_echo(tmp_path, options={"delay": 0.05}, context=100_000, slots=8)
    with gateway(tmp_path, drain_timeout="60") as running:
        readers = open_streams(running, 8, LONG)
        workers = pids(running)
        for _ in range(2):
            running.process.send_signal(signal.SIGTERM)
            threading.Event().wait(0.1)
        began = time.monotonic()
        running.process.wait(10)
        assert time.monotonic() - began < 2
        assert not living(workers)
        for reader in readers:
            reader.ended()


@pytest.mark.slow
def test_a_killed_gateway_with_four_busy_workers(tmp_path):
    """After SIGKILL with four busy workers all go in 2 s; the next start is ready in 3 s and knows its keys (F7)."""
    names = ["a", "b", "c", "d"]
    for name in names:
        write_echo(tmp_path, name, options={"delay": 0.05}, context=100_000)
    with gateway(tmp_path) as running:
        made = running.ask("POST", "/api/admin/keys", {"name": "k", "scopes": ["infer"], "models": None})[1]
        readers = [reader for name in names for reader in open_streams(running, 1, LONG, name)]
        workers = pids(running)
        assert len(workers) == 4
        running.process.kill()
        killed = time.monotonic()
        running.process.wait()
        while living(workers):
            assert time.monotonic() - killed < 2
            threading.Event().wait(0.01)
        for reader in readers:
            assert reader.ended().stops == []
    began = time.monotonic()
    with gateway(tmp_path) as again:
        assert time.monotonic() - began < 3
        bearer = {"Authorization": f"Bearer {made['secret']}"}
        assert again.ask("POST", CHAT, ask("x", model="a"), **bearer)[0] == 200
        assert len(list((tmp_path / "run").iterdir())) == 1


@pytest.mark.slow
def test_requests_race_unloads(tmp_path):
    """100 requests that race unloads and a keep-alive of zero are all answered (F20; 10,000 in the simulator)."""
    write_echo(tmp_path, keep_alive=0)
    with gateway(tmp_path) as running:
        got: list[int] = []

        def ask_some(count: int) -> None:
            for _ in range(count):
                got.append(running.ask("POST", CHAT, ask("one two"))[0])

        threads = [threading.Thread(target=ask_some, args=(25,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert running.ask("POST", "/api/admin/unload", {"model": "echo"})[0] in {200, 204}
        assert got == [200] * 100
