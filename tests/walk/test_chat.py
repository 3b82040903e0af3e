"""A chat through the real gateway and the echo engine's real process, over real sockets."""

import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from gateway import Gateway, gateway, write_echo
from sse import Stream, ask, text

CHAT = "/v1/chat/completions"


def until(condition, seconds: float = 10) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)


def busy(running: Gateway, model: str) -> int:
    return sum(row["busy"] for row in running.loaded() if row["name"] == model)


def test_an_answer_has_the_shape_of_the_api(echo_gateway: Gateway):
    """A whole chat answer carries the text, the reason it ended and what it used."""
    status, answer = echo_gateway.ask("POST", CHAT, ask("to be or not"))
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "to be or not"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["completion_tokens"] == 4
    assert answer["model"] == "echo"


def test_a_stream_adds_up_to_the_answer(echo_gateway: Gateway):
    """A streamed answer is the same text in pieces, ended by a reason, the usage and [DONE]."""
    stream = Stream(
        echo_gateway.port, echo_gateway.key, CHAT, ask("a b c", stream=True, stream_options={"include_usage": True})
    )
    data = list(stream.raw())
    assert data[-1] == b"[DONE]"
    stream = Stream(
        echo_gateway.port, echo_gateway.key, CHAT, ask("a b c", stream=True, stream_options={"include_usage": True})
    )
    events = list(stream.events())
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert text(events) == "a b c"
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"]][-1] == "stop"
    assert events[-1]["usage"]["completion_tokens"] == 3
    assert events[-1]["choices"] == []


def test_an_alias_is_the_model(echo_gateway: Gateway):
    """A request by an alias is answered by the model behind it."""
    assert echo_gateway.ask("POST", CHAT, ask("x", model="parrot"))[0] == 200


def test_run_folders_are_private(echo_gateway: Gateway):
    """The folder of the workers and each worker's own are for their owner only."""
    assert echo_gateway.ask("POST", CHAT, ask("x"))[0] == 200
    run = echo_gateway.home / "run"
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (run, *run.iterdir())] == [0o700] * len(
        [run, *run.iterdir()]
    )


def test_every_route_works_without_v1(echo_gateway: Gateway):
    """Clients that leave out /v1 are served too."""
    assert echo_gateway.ask("POST", "/chat/completions", ask("x"))[0] == 200
    assert echo_gateway.ask("GET", "/models")[0] == 200


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
def test_leaving_a_stream_frees_the_slot(echo_gateway: Gateway, reset):
    """When a client leaves in the middle of a stream the engine stops within a second (F17)."""
    stream = Stream(echo_gateway.port, echo_gateway.key, CHAT, ask("word " * 5000, model="slow", stream=True)).open()
    next(stream.events())
    assert busy(echo_gateway, "slow") >= 1
    stream.close(reset=reset)
    until(lambda: busy(echo_gateway, "slow") == 0, 5)


def test_leaving_a_whole_answer_frees_the_slot(echo_gateway: Gateway):
    """When a client leaves before a whole answer is ready the engine stops too (F17)."""
    stream = Stream(echo_gateway.port, echo_gateway.key, CHAT, ask("word " * 5000, model="slow"))
    until(lambda: busy(echo_gateway, "slow") >= 1)
    stream.close()
    until(lambda: busy(echo_gateway, "slow") == 0, 5)


def test_leaving_n_answers_frees_all_slots(echo_gateway: Gateway):
    """With n = 4 all four generations stop when the client leaves (F17)."""
    stream = Stream(
        echo_gateway.port, echo_gateway.key, CHAT, ask("word " * 5000, model="slow", stream=True, n=4)
    ).open()
    until(lambda: busy(echo_gateway, "slow") == 4)
    stream.close(reset=True)
    until(lambda: busy(echo_gateway, "slow") == 0, 5)


def test_sigterm_lets_streams_finish_and_refuses_new_ones(tmp_path):
    """At SIGTERM a running stream is finished, new requests are refused, and the process ends with 0 (F24)."""
    write_echo(tmp_path, options={"delay": 0.01}, context=100000)
    with gateway(tmp_path) as running:
        stream = Stream(running.port, running.key, CHAT, ask("word " * 100, stream=True)).open()
        next(stream.events())
        running.process.send_signal(signal.SIGTERM)
        events = list(stream.events())
        assert [e["choices"][0]["finish_reason"] for e in events][-1] == "stop"
        assert running.stop() == 0


def test_sigterm_fails_streams_at_the_deadline(tmp_path):
    """A stream that is not done by the drain deadline gets server_shutting_down, and nothing is left behind (F24)."""
    write_echo(tmp_path, options={"delay": 0.05}, context=100000)
    with gateway(tmp_path, drain_timeout="0.5") as running:
        stream = Stream(running.port, running.key, CHAT, ask("word " * 3000, stream=True)).open()
        next(stream.events())
        (row,) = running.loaded()
        running.process.send_signal(signal.SIGTERM)
        assert list(stream.events())[-1]["error"]["code"] == "server_shutting_down"
        assert running.stop() == 0
        assert not Path(f"/proc/{row['pid']}").exists()


def test_two_hundred_requests_load_a_cold_model_once(tmp_path):
    """However many ask at once for a cold model, it is loaded once and all are answered (F18)."""
    write_echo(tmp_path, options={"load": 0.5}, slots=4)
    with gateway(tmp_path) as running:
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(running.ask("POST", CHAT, ask("hello"))[0]))
            for _ in range(200)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [200] * 200
        lines = running.ask("GET", "/metrics")[1].splitlines()
        assert [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("localai_loads_total")] == [1.0]


def test_a_stopped_worker_does_not_stop_others(tmp_path):
    """A worker that hangs (SIGSTOP) fails its stream at the deadline; other models and the admin API go on (F4)."""
    write_echo(tmp_path, "a", options={"delay": 0.05}, context=100000)
    write_echo(tmp_path, "b")
    with gateway(tmp_path, stall_timeout="2") as running:
        stream = Stream(running.port, running.key, CHAT, ask("word " * 3000, model="a", stream=True)).open()
        next(stream.events())
        os.kill(running.loaded()[0]["pid"], signal.SIGSTOP)
        assert running.ask("POST", CHAT, ask("hello", model="b"))[0] == 200
        assert running.loaded()
        assert list(stream.events())[-1]["error"]["code"] in {"engine_stalled", "engine_crashed"}
        assert running.ask("POST", CHAT, ask("hello", model="a"))[0] == 200
