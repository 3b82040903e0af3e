"""Engine processes that crash, hang and talk nonsense behind a real gateway, seen by its clients."""

import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import baseline
from gateway import MISLED, Gateway, gateway, write_echo
from sse import Reader, Stream, ask, text

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
SPAWNS = "model loading"
"""What the log says once for each process that is started."""


def bad(home, name: str = "a", *, slots: int = 32, **options: object) -> None:
    """Put a model into a home that a misbehaving worker is going to serve."""
    write_echo(home, name, tasks=["chat", "complete"], context=100_000, slots=slots, keep_alive=-1, options=options)


def said(running: Gateway, model: str, prompt: str, **fields: object) -> Reader:
    """A streamed completion, read in a thread."""
    body = {"model": model, "prompt": prompt, "stream": True, **fields}
    return Reader(Stream(running.port, running.key, TEXT, body))


def row(running: Gateway, name: str = "a") -> dict:
    return next(row for row in running.loaded() if row["name"] == name)


def code(answer: object) -> str:
    return answer["error"]["code"]


@pytest.fixture(scope="module")
def misled(tmp_path_factory):
    """A gateway whose models may crash as often as they like."""
    home = tmp_path_factory.mktemp("misled")
    for name in ("a", "b"):
        bad(home, name)
    for when, option in (("begin", "begin"), ("load", "start")):
        for how in ("segv", "abort", "exit0", "exit137"):
            bad(home, f"{when}-{how}", print=200_000, **{option: how})
    with gateway(home, (*MISLED, "0.02")) as running:
        yield running


def test_a_killed_worker_with_thirty_two_streams(misled: Gateway):
    """SIGKILL of A with 32 streams: one engine_crashed each within 1 s, no stop; B flows on; A serves again (F1)."""
    streams = [said(misled, "b", "say 500 0.01") for _ in range(8)]
    for stream in streams:
        stream.begun.wait(10)
    victims = [said(misled, "a", "say 100000 0.01") for _ in range(32)]
    for victim in victims:
        victim.begun.wait(10)
    pid = row(misled)["pid"]
    crashes = row(misled)["crashes"]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    for victim in victims:
        assert victim.ended().errors == ["engine_crashed"]
        assert victim.stops == []
    assert max(victim.times[-1] for victim in victims) - killed < 1
    assert misled.ask("POST", TEXT, {"model": "a", "prompt": "say 2"})[1]["choices"][0]["text"] == "0 1 "
    assert time.monotonic() - killed < 3
    assert not Path(f"/proc/{pid}").exists()
    for stream in streams:
        assert stream.ended().errors == []
        assert text_of(stream) == "".join(f"{number} " for number in range(500))
    calm, after = gaps(streams, 0, killed), gaps(streams, killed, killed + 2)
    assert after < 2 * calm + 0.01
    assert (row(misled)["crashes"], row(misled, "b")["crashes"]) == (crashes + 1, 0)
    assert row(misled)["last_error"].startswith("SIGKILL")
    lines = misled.ask("GET", "/metrics")[1].splitlines()
    assert any(line.startswith("localai_crashes_total") and 'model="a"' in line and "SIGKILL" in line for line in lines)


def gaps(readers: list[Reader], start: float, end: float) -> float:
    """The gap that 99 of 100 events of all streams stayed below in this span of time."""
    found = sorted(
        late - early
        for reader in readers
        for early, late in itertools.pairwise(reader.times)
        if start <= early and late <= end
    )
    return found[int(len(found) * 0.99)]


def text_of(reader: Reader) -> str:
    return "".join(event["choices"][0]["text"] for event in reader.events)


@pytest.mark.slow
def test_a_hundred_crashes_leave_nothing(misled: Gateway):
    """After 100 crashes with streams under way nothing is left of them, and memory does not grow with them (F2)."""
    marks = {}
    for number in range(100):
        victims = [said(misled, "a", "say 100000 0.01") for _ in range(4)]
        for victim in victims:
            victim.begun.wait(10)
        os.kill(row(misled)["pid"], signal.SIGKILL)
        assert [victim.ended().errors for victim in victims] == [["engine_crashed"]] * 4
        if number in (29, 99):
            assert misled.ask("POST", TEXT, {"model": "a", "prompt": "say 1"})[0] == 200
            marks[number] = baseline.held(misled)
    baseline.returns(misled, marks[29], growth=70 * 10_000)


@pytest.mark.parametrize("how", ["segv", "abort", "exit0", "exit137"])
@pytest.mark.parametrize("when", ["begin", "load"])
def test_a_crash_at_the_start(misled: Gateway, when: str, how: str):
    """A process that dies before or while it loads is tried three times and told of at once (F3)."""
    began = time.monotonic()
    status, answer = misled.ask("POST", TEXT, {"model": f"{when}-{how}", "prompt": "say 1"})
    assert (status, code(answer)) == (500, "model_load_failed")
    assert time.monotonic() - began < 4
    shown = row(misled, f"{when}-{how}")
    assert shown["crashes"] == 3
    assert shown["last_error"].endswith(f"dying by {how}")
    assert len(shown["last_error"]) < 1000


@pytest.mark.parametrize("how", ["segv", "abort", "exit0", "exit137"])
@pytest.mark.parametrize("when", ["die", "late"])
def test_a_crash_in_a_request(misled: Gateway, when: str, how: str):
    """A process that dies before the first token or after it fails its request with engine_crashed (F3)."""
    status, answer = misled.ask("POST", TEXT, {"model": "a", "prompt": f"{when} {how}"})
    assert (status, code(answer)) == (502, "engine_crashed")
    stream = Stream(misled.port, misled.key, TEXT, {"model": "a", "prompt": f"{when} {how}", "stream": True}).open()
    if when == "die":
        assert stream.status == 502
    else:
        *words, last = stream.events()
        assert words[-1]["choices"][0]["text"] == "one "
        assert code(last) == "engine_crashed"
    stream.close()


@pytest.mark.slow
def test_hung_workers(tmp_path):
    """Three kinds of hang end at the no-progress deadline; another model and the admin API notice nothing (F4)."""
    for name in ("stop", "hang", "half", "fine"):
        bad(tmp_path, name)
    with gateway(tmp_path, MISLED, stall_timeout="3") as running:
        for name in ("stop", "hang", "half"):
            assert running.ask("POST", TEXT, {"model": name, "prompt": "say 1"})[0] == 200
        fine = said(running, "fine", "say 500 0.01")
        fine.begun.wait(10)
        began = time.monotonic()
        hung = [said(running, name, name) for name in ("stop", "hang", "half")]
        admin = []
        while any(reader.is_alive() for reader in hung):
            asked = time.monotonic()
            running.loaded()
            admin.append(time.monotonic() - asked)
            threading.Event().wait(0.05)
        assert [reader.errors for reader in hung] == [["engine_stalled"]] * 3
        assert all(2 < reader.times[-1] - began < 6 for reader in hung)
        assert max(admin) < 0.2
        assert fine.ended().errors == []
        for name in ("stop", "hang", "half"):
            assert running.ask("POST", TEXT, {"model": name, "prompt": "say 1"})[0] == 200


@pytest.mark.slow
def test_polling_a_crash_loop(tmp_path):
    """A model that dies at every start, polled every 100 ms, is started 3 times and then refused in 50 ms (F5).

    Ten seconds of it; the minutes after that are the simulator's.
    """
    bad(tmp_path, start="segv")
    with gateway(tmp_path, MISLED) as running:
        assert running.ask("POST", TEXT, {"model": "a", "prompt": "say 1"})[0] == 500
        took: list[float] = []
        for _ in range(100):
            asked = time.monotonic()
            stream = Stream(running.port, running.key, TEXT, {"model": "a", "prompt": "say 1"}).open()
            took.append(time.monotonic() - asked)
            assert stream.status == 503
            assert 0 < int(stream.headers["retry-after"]) <= 60
            stream.close()
            threading.Event().wait(0.1)
        assert sorted(took)[94] < 0.05
        assert running.log.read_text().count(SPAWNS) <= 5
        assert running.ask("GET", "/api/admin/loaded")[1]["memory"]["reserved"] == 0
        assert row(running)["busy"] == row(running)["queued"] == 0


@pytest.mark.parametrize("said", ["zażółć 漢字 👩‍👩‍👧 \u2028\u0000\ufeff\n\ndata: [DONE]\r\n\r\n", "é" * 50])
def test_text_split_at_every_byte(misled: Gateway, said: str):
    """Text that arrives from the engine byte by byte is put together exactly, in both kinds of answer (F30)."""
    body = ask("drip " + said, "a")
    assert misled.ask("POST", CHAT, body)[1]["choices"][0]["message"]["content"] == said
    stream = Stream(misled.port, misled.key, CHAT, {**body, "stream": True})
    assert text(list(stream.events())) == said


def test_invalid_text_of_an_engine(misled: Gateway):
    """Text that is no UTF-8 between our own processes ends that engine; nothing invalid gets out (F30)."""
    reader = said(misled, "a", "invalid")
    assert reader.ended().errors in (["engine_crashed"], [])
    status, answer = misled.ask("POST", TEXT, {"model": "a", "prompt": "invalid"})
    assert (status, code(answer)) == (502, "engine_crashed")
    assert misled.ask("POST", TEXT, {"model": "a", "prompt": "text fine"})[1]["choices"][0]["text"] == "fine"


@pytest.mark.parametrize("prompt", ["calls 10000", "arguments 10000000"])
def test_too_many_calls_and_arguments(misled: Gateway, prompt: str):
    """An engine that writes 10,000 tool calls, or 10 MB of arguments, gets its answer ended with an error (H37)."""
    status, answer = misled.ask("POST", CHAT, ask(prompt, "a"))
    assert (status, code(answer)) == (502, "answer_too_large")
    stream = Stream(misled.port, misled.key, CHAT, ask(prompt, "a", stream=True))
    events = list(stream.events())
    assert code(events[-1]) == "answer_too_large"
    assert misled.ask("POST", CHAT, ask("text fine", "a"))[0] == 200
