"""The first prompt of a coding agent: fifty kilobytes, read by a small machine."""

import random
import time
from collections.abc import Iterator
from itertools import takewhile

import pytest

import weights
from gateway import Gateway, gateway, write_model
from sse import Stream, ask

pytestmark = [pytest.mark.real, pytest.mark.slow]

CHAT = "/v1/chat/completions"
WORDS = ["international", "development", "environment", "understanding", "communication", "responsibility"]


def prompt(seed: int) -> str:
    """50 KB of words that are one token each, in an order that no other seed has."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(4300))[:50_000]


def body(text: str) -> dict[str, object]:
    asked = {"stream": True, "max_tokens": 4, "temperature": 0, "stream_options": {"include_usage": True}}
    return ask(text, "smollm2", **asked)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir(mode=0o700)
    file = weights.smollm2()
    (home / "models" / file.name).write_bytes(file.read_bytes())
    write_model(home, "smollm2", engine="llama", files={"model": file.name}, context=8192, slots=1)
    with gateway(home) as running:
        yield running


def lines(stream: Stream) -> list[bytes]:
    return [line for line in stream.lines() if line]


def test_the_wait_is_filled_and_the_second_turn_is_cached(server: Gateway):
    """Comments keep the connection alive until the first token, and the next turn computes only what is new."""
    first = lines(Stream(server.port, server.key, CHAT, body(prompt(1)), timeout=600))
    silence = list(takewhile(lambda line: line.startswith(b":"), first))
    assert len(silence) >= 1, "nothing was said while the prompt was read"
    assert first[-1] == b"data: [DONE]"
    stream = Stream(server.port, server.key, CHAT, body(prompt(1) + " And now?"), timeout=600)
    *_, usage = (event["usage"] for event in stream.events())
    assert usage["prompt_tokens"] > 3000
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0.95 * usage["prompt_tokens"]


def test_leaving_frees_the_slot_within_a_batch(server: Gateway):
    """When the client leaves while its prompt is read, the slot is free long before the prompt would have been."""
    stream = Stream(server.port, server.key, CHAT, body(prompt(2)), timeout=600)
    next(line for line in stream.lines() if line.startswith(b":"))
    stream.close(reset=True)
    left = time.monotonic()
    while any(row["busy"] for row in server.loaded()):
        assert time.monotonic() - left < 8, "the prompt is still being read"
        time.sleep(0.05)
    status, _ = server.ask("POST", CHAT, ask("Hello", "smollm2", max_tokens=2))
    assert status == 200
