"""Hostile output of a model: whatever it says, the framing of the answer holds."""

import json
import threading

import pytest

from gateway import Gateway
from sse import Stream, ask, text

HOSTILE = {
    "a forged end (H36)": "x\n\ndata: [DONE]\n\nevent: error\ndata: {}\n\n y",
    "carriage returns (H36)": "a\rdata: b\r\n\r\nid: 1",
    "one megabyte without a newline (H36)": "x" * 2**20,
    "every kind of character (F30)": "zażółć 漢字 👩‍👩‍👧‍👦 \u2028 \u2029 \u0000 \ufeff é",
    "markup (H38)": "<img src=x onerror=alert(1)>[x](javascript:1)",
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_stream_carries_anything_exactly(echo_gateway: Gateway, said):
    """What the model says arrives exactly, as one well-formed stream with one end."""
    stream = Stream(echo_gateway.port, echo_gateway.key, "/v1/chat/completions", ask(said, stream=True))
    data = list(stream.raw())
    assert data[-1] == b"[DONE]"
    assert data.count(b"[DONE]") == 1
    assert text([json.loads(one) for one in data[:-1]]) == said


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_whole_answer_carries_anything_exactly(echo_gateway: Gateway, said):
    """The same holds without streaming."""
    status, answer = echo_gateway.ask("POST", "/v1/chat/completions", ask(said))
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == said


def test_answers_are_never_crossed(echo_gateway: Gateway):
    """With many streams at once each client gets its own words and nobody else's (T23)."""
    wrong: list[str] = []

    def one(number: int) -> None:
        for turn in range(5):
            mine = " ".join([f"canary-{number}-{turn}"] * 50)
            stream = Stream(echo_gateway.port, echo_gateway.key, "/v1/chat/completions", ask(mine, stream=True))
            if text(list(stream.events())) != mine:
                wrong.append(mine)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
