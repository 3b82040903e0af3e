"""The real model behind the real gateway."""

import os
import signal
import struct

import pytest

from gateway import Gateway
from sse import Stream, ask, text

pytestmark = pytest.mark.real
CHAT = "/v1/chat/completions"


def test_the_capital_of_france(real_gateway: Gateway):
    """The starter model answers a plain question sensibly."""
    status, answer = real_gateway.ask(
        "POST", CHAT, ask("Which city is the capital of France?", "smollm2-135m", temperature=0, max_tokens=30)
    )
    assert status == 200
    assert "Paris" in answer["choices"][0]["message"]["content"]


def test_streamed_and_whole_are_the_same(real_gateway: Gateway):
    """At temperature 0 the streamed pieces are the whole answer."""
    body = ask("Name three colours.", "smollm2-135m", temperature=0, max_tokens=40)
    whole = real_gateway.ask("POST", CHAT, body)[1]["choices"][0]["message"]["content"]
    streamed = text(list(Stream(real_gateway.port, real_gateway.key, CHAT, {**body, "stream": True}).events()))
    assert streamed == whole


def test_a_killed_engine_fails_its_stream_and_comes_back(real_gateway: Gateway):
    """SIGKILL of llama.cpp in the middle of a stream is one error there, and the next request works (F1)."""
    body = ask("Count to a thousand.", "smollm2-135m", stream=True, max_tokens=1500, ignore_eos=True)
    stream = Stream(real_gateway.port, real_gateway.key, CHAT, body).open()
    events = stream.events()
    for _ in range(3):
        next(events)
    (row,) = [row for row in real_gateway.loaded() if row["name"] == "smollm2-135m"]
    os.kill(row["pid"], signal.SIGKILL)
    rest = list(events)
    assert [event["error"]["code"] for event in rest if "error" in event] == ["engine_crashed"]
    status, _ = real_gateway.ask("POST", CHAT, ask("Hello", "smollm2-135m", max_tokens=4))
    assert status == 200


def test_a_prompt_beyond_the_context_says_how_much(real_gateway: Gateway):
    """A prompt that does not fit is a 400 with the counts, never cut."""
    status, answer = real_gateway.ask("POST", CHAT, ask("word " * 5000, "smollm2-135m"))
    assert status == 400
    assert answer["error"]["code"] == "context_length_exceeded"
    assert "2048" in answer["error"]["message"]


def test_a_context_that_cannot_fit_is_refused_with_figures(real_gateway: Gateway):
    """A context that needs more memory than there is answers what it needs, what there is and what would fit."""
    path = real_gateway.home / "models" / "huge.yaml"
    path.write_text(
        "{name: huge, engine: llama, files: {model: SmolLM2-135M-Instruct.Q4_1.gguf}, context: 16000000, "
        "options: {rope_freq_scale: 0.0005}}"
    )
    status, answer = real_gateway.ask("POST", CHAT, ask("Hello", "huge"))
    path.unlink()
    assert status == 507
    assert answer["error"]["code"] == "not_enough_memory"
    assert answer["error"]["message"].count("GiB") >= 2
    assert "would fit" in answer["error"]["message"]


def test_a_context_beyond_the_trained_one_is_refused(real_gateway: Gateway):
    """A model file that asks for more context than the model was trained for is told so, not quietly given less."""
    path = real_gateway.home / "models" / "long.yaml"
    path.write_text("{name: long, engine: llama, files: {model: SmolLM2-135M-Instruct.Q4_1.gguf}, context: 9000}")
    status, answer = real_gateway.ask("POST", CHAT, ask("Hello", "long"))
    path.unlink()
    assert status == 422
    assert "8192" in answer["error"]["message"]


def test_embeddings_mean_something(real_gateway: Gateway):
    """A cat is nearer to a kitten than to stocks, whether vectors come as floats or as base64."""
    status, answer = real_gateway.ask(
        "POST", "/v1/embeddings", {"model": "minilm", "input": ["a cat", "a kitten", "stocks fell"]}
    )
    assert status == 200
    cat, kitten, stocks = (row["embedding"] for row in answer["data"])
    assert (
        sum(a * b for a, b in zip(cat, kitten, strict=True))
        > 0.5
        > sum(a * b for a, b in zip(cat, stocks, strict=True))
    )
    import base64

    body = {"model": "minilm", "input": "a cat", "encoding_format": "base64"}
    packed = base64.b64decode(real_gateway.ask("POST", "/v1/embeddings", body)[1]["data"][0]["embedding"])
    assert struct.unpack(f"<{len(cat)}f", packed) == pytest.approx(cat, abs=1e-3)


def test_the_prefix_is_cached(real_gateway: Gateway):
    """The second request with the same beginning computes only what is new."""
    body = ask("The river ran. " * 60, "smollm2-135m", max_tokens=2, temperature=0)
    real_gateway.ask("POST", CHAT, body)
    body["messages"][0]["content"] += "More."
    usage = real_gateway.ask("POST", CHAT, body)[1]["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0.9 * usage["prompt_tokens"]


def test_memory_taken_is_near_the_estimate(real_gateway: Gateway):
    """What the worker really takes is within a fifth of the promise, its still empty conversation cache aside."""
    real_gateway.ask("POST", CHAT, ask("Hello", "smollm2-135m", max_tokens=2))
    (row,) = [row for row in real_gateway.loaded() if row["name"] == "smollm2-135m"]
    assert row["memory"] <= row["estimated"]
    assert row["memory"] == pytest.approx(row["estimated"] - 256 * 2**20, rel=0.2)
