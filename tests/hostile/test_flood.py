"""A flood of malformed requests beside good streams (F14)."""

import http.client
import json
import random
import threading

import pytest

from gateway import Gateway
from sse import Stream, ask, text

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


@pytest.mark.slow
def test_ten_thousand_malformed_requests(echo_gateway: Gateway):
    """Of 10,000 malformed requests none is answered with 5xx but 503, each error has a code, and good streams go on."""
    seen: dict[int, int] = {}
    bad: list[str] = []
    good = [
        Stream(
            echo_gateway.port, echo_gateway.key, "/v1/chat/completions", ask("word " * 200, model="slow", stream=True)
        )
        for _ in range(4)
    ]
    threads = [
        threading.Thread(target=_flood, args=(echo_gateway.port, echo_gateway.key, seed, 625, seen, bad))
        for seed in range(16)
    ]
    for thread in threads:
        thread.start()
    texts = [text(list(stream.events())) for stream in good]
    for thread in threads:
        thread.join()
    assert not bad, bad[:3]
    assert sum(seen.values()) == 10_000
    assert seen.get(400, 0) > 1000
    assert texts == ["word " * 200] * 4
    assert echo_gateway.ask("GET", "/readyz")[0] == 200
