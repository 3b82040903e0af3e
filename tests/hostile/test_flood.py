"""A flood of malformed requests beside good streams (F14)."""

import http.client
import json
import multiprocessing
import os
import random
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

import baseline
from gateway import Gateway
from sse import Reader, Stream, ask, text

PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/tokenize", "/detokenize"]
VALUES = [
    None,
    True,
    -1,
    0,
    1e308,
    2**63,
    "",
    "x",
    "\ud83d\ude00",
    [],
    {},
    [[]],
    [{}],
    {"a": []},
    "../../etc/passwd",
    ["x"] * 50,
]
FIELDS = [
    "model", "messages", "prompt", "input", "query", "documents", "content", "tokens", "n", "max_tokens", "temperature",
    "top_p", "stop", "stream", "stream_options", "tools", "tool_choice", "response_format", "logprobs", "top_logprobs",
    "logit_bias", "seed", "echo", "suffix", "best_of", "encoding_format", "dimensions", "top_n",
]  # fmt: skip


def _malformed(rng: random.Random) -> bytes:
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x", "query": "x"}
    for field in rng.sample(FIELDS, rng.randint(1, 4)):
        body[field] = rng.choice(VALUES)
    data = json.dumps(body).encode()
    match rng.randint(0, 9):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return bytes(byte ^ (rng.random() < 0.02) * rng.randrange(256) for byte in data)
        case 2:
            return b"[" * rng.randrange(2000)
    return data


def _flood(port: int, key: str, seed: int, count: int, seen: dict[int, int], bad: list[str]) -> None:
    rng = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        path, body = rng.choice(PATHS), _malformed(rng)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": rng.choice(["application/json", "text/plain"])}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        seen[answer.status] = seen.get(answer.status, 0) + 1
        if answer.status >= 500 and answer.status != 503:
            bad.append(f"seed {seed} {path} {body[:300]!r} -> {answer.status} {data[:300]!r}")
        if answer.status >= 400 and not json.loads(data).get("error", {}).get("code"):
            bad.append(f"seed {seed} {path} {body[:300]!r} -> an error without a code")
    connection.close()


def _flood_all(port: int, key: str, seeds: range) -> tuple[dict[int, int], list[str]]:
    """In a process of its own, so that the readers of the good streams are not what slows them."""
    os.nice(10)
    seen: dict[int, int] = {}
    bad: list[str] = []
    threads = [threading.Thread(target=_flood, args=(port, key, seed, 625, seen, bad)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen, bad


def _good(running: Gateway, words: int) -> list[Reader]:
    body = ask("word " * words, model="slow", stream=True)
    readers = [Reader(Stream(running.port, running.key, "/v1/chat/completions", body)) for _ in range(4)]
    for reader in readers:
        assert reader.begun.wait(20)
    return readers


@pytest.mark.slow
def test_ten_thousand_malformed_requests(echo_gateway: Gateway):
    """Of 10,000 malformed requests none gets a 5xx but 503, each error has a code, and good streams go on (F14).

    Their gaps (99 of 100) stay below twice what they are in peace, and afterwards the gateway holds what it held.
    """
    calm = max(reader.ended().gaps() for reader in _good(echo_gateway, 100))
    echo_gateway.ask("POST", PATHS[0], ask("x"))
    before = baseline.held(echo_gateway)
    good = _good(echo_gateway, 250)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        seen, bad = pool.submit(_flood_all, echo_gateway.port, echo_gateway.key, range(16)).result()
    assert not bad, bad[:3]
    assert sum(seen.values()) == 10_000
    assert seen.get(400, 0) > 1000
    assert [text(reader.ended().events) for reader in good] == ["word " * 250] * 4
    assert max(reader.gaps() for reader in good) < 2 * calm + 0.01
    assert echo_gateway.ask("GET", "/readyz")[0] == 200
    baseline.returns(echo_gateway, before, growth=16 * 2**20)
