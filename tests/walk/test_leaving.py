"""Clients that leave at every moment of a request, and clients that wait long: nothing is kept, nothing is cut."""

import random
import re
import threading
import time

import pytest

import baseline
from gateway import Gateway, gateway, write_echo
from sse import Stream, ask

CHAT = "/v1/chat/completions"


def until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)


def busy(running: Gateway, model: str) -> int:
    return sum(row["busy"] + row["queued"] for row in running.loaded() if row["name"] == model)


def completed(running: Gateway, model: str) -> int:
    """Tokens generated so far, as the metrics tell."""
    text = running.ask("GET", "/metrics")[1]
    series = rf'^localai_tokens_total{{kind="completion",model="{model}"}} ([0-9.e+]+)$'
    found = re.findall(series, text, re.MULTILINE)
    return int(float(found[0])) if found else 0


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    home = tmp_path_factory.mktemp("lively")
    write_echo(home, "slow", options={"delay": 0.02}, context=100_000, slots=16)
    write_echo(home, "narrow", options={"delay": 0.02}, context=100_000, slots=1)
    write_echo(home, "cold", options={"load": 0.3}, context=100_000, keep_alive=0)
    write_echo(home, "reader", options={"prefill": 30}, context=100_000, slots=16)
    with gateway(home) as running:
        yield running


LONG = "word " * 5000


def leave(running: Gateway, kind: str, *, reset: bool) -> None:
    """One request whose client goes at that moment of its life."""
    model = {"queued": "narrow", "loading": "cold", "prefill": "reader"}.get(kind, "slow")
    body = ask(LONG, model=model, stream=kind != "whole", **({"n": 4} if kind == "four" else {}))
    stream = Stream(running.port, running.key, CHAT, body)
    if kind in {"streaming", "four"}:
        next(stream.open().events())
    else:
        until(lambda: busy(running, model) or kind == "loading")
    stream.close(reset=reset)


@pytest.mark.slow
def test_five_hundred_clients_leave(lively: Gateway):
    """500 clients leave queued, loading, in prefill, streaming, unstreamed and with n = 4: all is as before (F17)."""
    for model in ("slow", "narrow", "cold"):
        assert lively.ask("POST", CHAT, ask("x", model=model))[0] == 200
    leave(lively, "prefill", reset=True)
    holder = Stream(lively.port, lively.key, CHAT, ask(LONG, model="narrow", stream=True)).open()
    until(lambda: busy(lively, "narrow") == 1)
    kinds = ["queued", "loading", "prefill", "streaming", "whole", "four"]

    def some(seed: int, count: int) -> None:
        chance = random.Random(seed)
        for number in range(count):
            leave(lively, kinds[number % 6], reset=chance.random() < 0.5)

    def wave(count: int) -> baseline.Held:
        threads = [threading.Thread(target=some, args=(seed, count)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for model, left in (("slow", 0), ("reader", 0), ("cold", 0), ("narrow", 1)):
            until(lambda model=model, left=left: busy(lively, model) == left, 3)
        until(lambda: "cold" not in {row["name"] for row in lively.loaded()})
        return baseline.held(lively)

    before = wave(16)
    wave(84)
    baseline.returns(lively, before)
    holder.close()
    until(lambda: busy(lively, "narrow") == 0, 2)


@pytest.mark.parametrize("streamed", [True, False])
def test_what_a_client_left_behind_is_counted(lively: Gateway, streamed: bool):
    """A client that leaves frees its slot within a second; at most 8 more tokens come, and all are counted (F17)."""
    before = completed(lively, "slow")
    stream = Stream(lively.port, lively.key, CHAT, ask(LONG, model="slow", stream=streamed))
    seen = 0
    if streamed:
        for seen, _ in enumerate(stream.events()):
            if seen == 20:
                break
    else:
        until(lambda: busy(lively, "slow"))
    left = time.monotonic()
    stream.close(reset=True)
    until(lambda: busy(lively, "slow") == 0, 2)
    assert time.monotonic() - left < 1
    until(lambda: completed(lively, "slow") > before)
    assert completed(lively, "slow") - before <= seen + 8 + 50 * (not streamed)


@pytest.mark.slow
def test_a_long_silence_is_filled(tmp_path):
    """A stream that waits 12 s for its model and 12 s for its prompt has a comment at least every 10 s (F33).

    The proxy of the row allows 60 s of silence; what counts is that no gap is longer than 10.
    """
    write_echo(tmp_path, options={"load": 12, "prefill": 12})
    with gateway(tmp_path) as running:
        stream = Stream(running.port, running.key, CHAT, ask("hello there", stream=True))
        last, gaps, comments, data = time.monotonic(), [], 0, []
        for line in stream.lines():
            now = time.monotonic()
            gaps.append(now - last)
            last = now
            comments += line.startswith(b":")
            if line.startswith(b"data: "):
                data.append(line[6:])
        assert stream.status == 200
        assert max(gaps) < 10.5
        assert comments >= 2
        assert data[-1] == b"[DONE]"
