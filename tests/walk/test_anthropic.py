"""The Anthropic dialect of a gateway as a user starts it: agents' requests, silences, crashes, keys."""

import json
import os
import signal
import urllib.error
import urllib.request

import pytest

import claudecode
from gateway import MISLED, Gateway, gateway, write_echo
from sse import Stream

MESSAGES = "/v1/messages"
BETA = f"{MESSAGES}?beta=true"


def opened_messages(running: Gateway, body: dict, path: str = MESSAGES) -> Stream:
    """A stream of the dialect whose head was read."""
    return Stream(running.port, running.key, path, {**body, "stream": True}).open()


def named_events(stream: Stream) -> list[tuple[str, dict]]:
    """All events with their names, which stand before their data."""
    found, name = [], ""
    for line in stream.lines():
        if line.startswith(b"event: "):
            name = line[7:].decode()
        elif line.startswith(b"data: "):
            found.append((name, json.loads(line[6:])))
    return found


def say(content: str, model: str = "echo", **fields) -> dict:
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": content}], **fields}


def refusal(running: Gateway, body: dict, **headers: str) -> tuple[int, dict, dict]:
    """Status, headers and body of an error."""
    request = urllib.request.Request(running.url + MESSAGES, data=json.dumps(body).encode(), method="POST")
    for name, value in ({"x-api-key": running.key} | headers).items():
        request.add_header(name.replace("_", "-"), value)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as error:
        return error.code, dict(error.headers), json.loads(error.read())


@pytest.mark.parametrize("rounds", [0, 3])
def test_an_agents_requests_are_answered(echo_gateway: Gateway, rounds: int):
    """A request of Claude Code's shape and size, first and later ones, gives a well-formed stream."""
    messages = claudecode.opening("Fix the bug.")
    for number in range(rounds):
        messages += claudecode.called(number)
    body = claudecode.request("slow", messages)
    assert rounds or 45_000 < len(json.dumps(body)) < 55_000
    stream = opened_messages(echo_gateway, body, BETA)
    assert stream.status == 200
    events = named_events(stream)
    assert all(name == event["type"] for name, event in events)
    kinds = [name for name, _ in events if name != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[0][1]["message"]["usage"]["input_tokens"] > 0
    counted = {name: body[name] for name in ("model", "messages", "system", "tools", "thinking", "output_config")}
    status, answer = echo_gateway.ask("POST", "/v1/messages/count_tokens?beta=true", counted)
    assert status == 200
    assert answer["input_tokens"] > 0


@pytest.mark.parametrize("path", ["/api/hello", "/v1/models?limit=1000"])
def test_an_agents_probes_are_answered(echo_gateway: Gateway, path: str):
    """What Claude Code asks before its first request is there."""
    status, answer = echo_gateway.ask("GET", path, anthropic_version="2023-06-01")
    assert status == 200
    assert "data" not in answer or answer["data"][0]["type"] == "model"


@pytest.mark.slow
def test_silences_are_filled_with_pings(tmp_path):
    """While a model loads for longer than a client likes to wait, the stream is open and pings come."""
    write_echo(tmp_path, "late", options={"load": 6})
    with gateway(tmp_path) as running:
        events = named_events(opened_messages(running, say("to be or not", "late")))
    names = [name for name, _ in events]
    assert names[:2] == ["ping", "message_start"]
    assert events[0][1] == {"type": "ping"}
    assert names[-1] == "message_stop"


def test_a_full_server_says_529(tmp_path):
    """With its queue full the server is overloaded in Anthropic's words, and says that a retry helps."""
    write_echo(tmp_path, "slow", options={"delay": 0.05}, slots=1)
    with gateway(tmp_path, queue="0") as running:
        holder = opened_messages(running, say("one " * 2000, "slow"))
        for line in holder.lines():
            if line.startswith(b"event: content_block_delta"):
                break
        status, headers, answer = refusal(running, say("x", "slow"))
        holder.close()
    assert (status, answer["error"]["type"]) == (529, "overloaded_error")
    assert headers["x-should-retry"] == "true"
    assert answer["request_id"] == headers["request-id"]


def test_a_killed_engine_ends_its_stream_with_an_error(tmp_path):
    """SIGKILL of the engine in the middle of a stream is one event `error`, and the next request works."""
    write_echo(tmp_path, "slow", options={"delay": 0.05})
    with gateway(tmp_path) as running:
        stream = opened_messages(running, say("one " * 2000, "slow"))
        names = []
        for line in stream.lines():
            if line.startswith(b"event: "):
                names.append(line[7:].decode())
                if names[-1] == "content_block_delta" and "killed" not in names:
                    names.append("killed")
                    os.kill(running.loaded()[0]["pid"], signal.SIGKILL)
        stream.close()
        status, answer = running.ask("POST", MESSAGES, say("again", "slow"))
    assert names[-1] == "error"
    assert names.count("error") == 1
    assert "message_stop" not in names
    assert (status, answer["content"][0]["text"]) == (200, "again")


def test_an_engine_that_cannot_start_is_an_http_error(tmp_path):
    """An engine that dies before the first byte is told by status, streamed or not."""
    write_echo(tmp_path, "begin", tasks=["chat"], options={"begin": "exit137"})
    write_echo(tmp_path, "runs", tasks=["chat"])
    with gateway(tmp_path, (*MISLED, "0.02")) as running:
        for streamed in (False, True):
            status, headers, answer = refusal(running, say("x", "begin", stream=streamed))
            assert status in {500, 502, 503}
            assert (answer["type"], answer["error"]["type"]) == ("error", "api_error")
            status, headers, answer = refusal(running, say("die kill", "runs", stream=streamed))
            assert (status, answer["error"]["type"]) == (502, "api_error")
            assert headers["x-should-retry"] == "true"


def test_keys_are_asked_for(echo_gateway: Gateway):
    """No key, a wrong one, and one for another model are refused in Anthropic's shape."""
    status, headers, answer = refusal(echo_gateway, say("x"), x_api_key="")
    assert (status, answer["error"]["type"]) == (401, "authentication_error")
    assert headers["x-should-retry"] == "false"
    status, _, answer = refusal(echo_gateway, say("x"), x_api_key="sk-wrong")
    assert (status, answer["error"]["type"]) == (401, "authentication_error")

    def made(**fields) -> str:
        return echo_gateway.ask("POST", "/api/admin/keys", {"name": "k", **fields})[1]["secret"]

    other = made(scopes=["infer"], models=["slow"])
    status, _, answer = refusal(echo_gateway, say("x"), x_api_key=other)
    assert (status, answer["error"]["type"]) == (404, "not_found_error")
    status, _, answer = refusal(echo_gateway, say("x"), x_api_key=made(scopes=["metrics"], models=None))
    assert (status, answer["error"]["type"]) == (403, "permission_error")
    headers = {"authorization": "", "x-api-key": other}
    assert echo_gateway.ask("POST", MESSAGES, say("x", "slow"), **headers)[0] == 200
    assert echo_gateway.ask("POST", "/v1/messages/count_tokens", say("x", "slow"), **headers)[0] == 200
