"""Responses through the real gateway and the echo engine's real process, over real sockets."""

import contextlib
import itertools
import json
import os
import signal
import threading
import time
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import codexes
from gateway import Gateway, gateway, write_echo
from sse import Stream

PATH = "/v1/responses"
WORDS = "word " * 5000


def until(condition, seconds=10.0):
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)


def busy(running: Gateway, model="slow"):
    return sum(row["busy"] for row in running.loaded() if row["name"] == model)


def opened(running: Gateway, text=WORDS, model="slow", **fields):
    return Stream(running.port, running.key, PATH, {"model": model, "input": text, "stream": True, **fields}).open()


def created(stream):
    """The id of the response that a stream is about, once it has words."""
    told = stream.events()
    identifier = next(told)["response"]["id"]
    next(event for event in told if event["type"] == "response.output_text.delta")
    return identifier


def ask(running: Gateway, text="x", model="echo", **fields):
    status, answer = running.ask("POST", PATH, {"model": model, "input": text, **fields})
    assert status == 200, answer
    return answer


def followed(running: Gateway, path):
    request = urllib.request.Request(running.url + path, headers={"Authorization": f"Bearer {running.key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
def test_leaving_a_stream_frees_the_slot_and_stores_nothing(echo_gateway: Gateway, reset):
    """When a client leaves in the middle of a stream the engine stops, and what was not said to its end is nowhere."""
    stream = opened(echo_gateway)
    identifier = created(stream)
    stream.close(reset=reset)
    until(lambda: busy(echo_gateway) == 0)
    assert echo_gateway.ask("GET", f"{PATH}/{identifier}")[0] == 404


def test_leaving_a_whole_response_frees_the_slot(echo_gateway: Gateway):
    """When a client leaves before a whole response is ready the engine stops."""
    stream = Stream(echo_gateway.port, echo_gateway.key, PATH, {"model": "slow", "input": WORDS})
    until(lambda: busy(echo_gateway) >= 1)
    stream.close()
    until(lambda: busy(echo_gateway) == 0)


def test_a_background_response_goes_on_without_its_client(echo_gateway: Gateway):
    """A background response survives that its stream is cut; who comes back goes on behind the last event it saw."""
    stream = opened(echo_gateway, "word " * 60, background=True)
    seen = list(itertools.islice(stream.events(), 12))
    stream.close(reset=True)
    path = f"{PATH}/{seen[0]['response']['id']}"
    rest = followed(echo_gateway, f"{path}?stream=true&starting_after={seen[-1]['sequence_number']}")
    whole = [*seen, *rest]
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    text = "".join(event.get("delta", "") for event in whole)
    assert whole[-1]["type"] == "response.completed"
    assert text == whole[-1]["response"]["output"][0]["content"][0]["text"]
    assert echo_gateway.ask("GET", path)[1] == whole[-1]["response"]


def test_cancelling_frees_the_slot(echo_gateway: Gateway):
    """A cancelled background response stops its engine, and whoever follows it hears the end."""
    identifier = ask(echo_gateway, WORDS, "slow", background=True)["id"]
    follower = threading.Thread(target=lambda: heard.extend(followed(echo_gateway, f"{PATH}/{identifier}?stream=true")))
    heard: list = []
    follower.start()
    until(lambda: busy(echo_gateway) == 1)
    status, answer = echo_gateway.ask("POST", f"{PATH}/{identifier}/cancel")
    assert (status, answer["status"]) == (200, "cancelled")
    until(lambda: busy(echo_gateway) == 0)
    follower.join(10)
    assert heard[-1]["response"]["status"] == "cancelled"


def test_a_killed_server_leaves_no_response_waiting(tmp_path):
    """After a kill and a restart what was in the background is failed, its stream ends, and what had ended is there."""
    write_echo(tmp_path, options={"delay": 0.02}, context=100000)
    with gateway(tmp_path) as first:
        done = ask(first, "kept")
        running = ask(first, WORDS, background=True)
        until(lambda: busy(first, "echo") == 1)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
    with gateway(tmp_path) as second:
        assert second.ask("GET", f"{PATH}/{done['id']}") == (200, done)
        assert ask(second, "more", previous_response_id=done["id"])["status"] == "completed"
        status, failed = second.ask("GET", f"{PATH}/{running['id']}")
        assert (status, failed["status"], failed["error"]["code"]) == (200, "failed", "server_error")
        (last,) = followed(second, f"{PATH}/{running['id']}?stream=true&starting_after=7")
        assert (last["type"], last["sequence_number"]) == ("response.failed", 8)
        assert second.ask("POST", f"{PATH}/{running['id']}/cancel")[1]["status"] == "failed"


def test_a_stopping_server_finishes_what_runs_in_the_background(tmp_path):
    """At SIGTERM a background response gets its time like any other, and is stored."""
    write_echo(tmp_path, options={"delay": 0.01}, context=100000)
    with gateway(tmp_path) as first:
        running = ask(first, "word " * 80, background=True)
        until(lambda: busy(first, "echo") == 1)
        assert first.stop() == 0
    with gateway(tmp_path) as second:
        assert second.ask("GET", f"{PATH}/{running['id']}")[1]["status"] == "completed"


def test_a_crash_in_the_background_is_stored(tmp_path):
    """When the process of the model dies the background response is failed, and the server goes on."""
    write_echo(tmp_path, options={"delay": 0.02}, context=100000)
    with gateway(tmp_path) as running:
        identifier = ask(running, WORDS, background=True)["id"]
        until(lambda: busy(running, "echo") == 1)
        worker = running.loaded()[0]["pid"]
        os.kill(worker, signal.SIGKILL)
        last = followed(running, f"{PATH}/{identifier}?stream=true")[-1]
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
        assert ask(running, "again")["status"] == "completed"


def test_concurrent_turns_of_a_conversation_stay_whole(echo_gateway: Gateway):
    """Turns of one conversation at the same time come out one after the other, each with its answer."""
    _, talk = echo_gateway.ask("POST", "/v1/conversations", {})
    turns = [
        threading.Thread(target=ask, args=(echo_gateway, f"turn {place} " + "word " * place), kwargs=talked)
        for place, talked in enumerate([{"conversation": talk["id"]}] * 6)
    ]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join(30)
    path = f"/v1/conversations/{talk['id']}/items?order=asc&limit=100"
    texts = [item["content"][0]["text"] for item in echo_gateway.ask("GET", path)[1]["data"]]
    assert len(texts) == 12
    assert texts[::2] == texts[1::2]
    assert len(set(texts)) == 6


def test_codex_is_served(echo_gateway: Gateway):
    """A turn in the shape of Codex is streamed to its end, with usage."""
    stream = Stream(echo_gateway.port, echo_gateway.key, PATH, codexes.request("echo", "say this"))
    told = list(stream.events())
    assert told[-1]["type"] == "response.completed"
    assert told[-1]["response"]["usage"]["output_tokens"] == 2
    assert stream.headers["content-type"].startswith("text/event-stream")


def test_what_is_one_owners_does_not_exist_for_another(echo_gateway: Gateway):
    """Every route with an id of another owner's response, conversation, item or file answers 404."""
    key = {"name": "other", "owner": "somebody-else", "scopes": ["infer"]}
    stranger = echo_gateway.ask("POST", "/api/admin/keys", key)[1]["secret"]
    _, talk = echo_gateway.ask("POST", "/v1/conversations", {"items": [{"role": "user", "content": "secret"}]})
    item = echo_gateway.ask("GET", f"/v1/conversations/{talk['id']}/items")[1]["data"][0]["id"]
    response = ask(echo_gateway, "secret")
    one, said = response["id"], response["output"][0]["id"]
    body = {"model": "echo", "input": "x"}
    asked = [
        ("GET", f"{PATH}/{one}", None),
        ("GET", f"{PATH}/{one}?stream=true", None),
        ("GET", f"{PATH}/{one}/input_items", None),
        ("POST", f"{PATH}/{one}/cancel", {}),
        ("DELETE", f"{PATH}/{one}", None),
        ("POST", PATH, {**body, "previous_response_id": one}),
        ("POST", PATH, {**body, "conversation": talk["id"]}),
        ("POST", PATH, {**body, "input": [{"type": "item_reference", "id": said}]}),
        ("POST", PATH, {**body, "input": [{"type": "item_reference", "id": item}]}),
        ("POST", f"{PATH}/input_tokens", {**body, "previous_response_id": one}),
        ("POST", f"{PATH}/compact", {**body, "conversation": talk["id"]}),
        ("GET", f"/v1/conversations/{talk['id']}", None),
        ("POST", f"/v1/conversations/{talk['id']}", {"metadata": {}}),
        ("GET", f"/v1/conversations/{talk['id']}/items", None),
        ("POST", f"/v1/conversations/{talk['id']}/items", {"items": [{"role": "user", "content": "x"}]}),
        ("GET", f"/v1/conversations/{talk['id']}/items/{item}", None),
        ("DELETE", f"/v1/conversations/{talk['id']}/items/{item}", None),
        ("DELETE", f"/v1/conversations/{talk['id']}", None),
    ]
    for method, path, sent in asked:
        status, refused = echo_gateway.ask(method, path, sent, Authorization=f"Bearer {stranger}")
        assert (status, refused["error"]["code"]) == (404, "not_found"), (method, path)
    assert echo_gateway.ask("GET", f"{PATH}/{one}")[0] == 200
    assert echo_gateway.ask("GET", f"/v1/conversations/{talk['id']}/items/{item}")[0] == 200
    running = ask(echo_gateway, WORDS, "slow", background=True)["id"]
    path = f"{PATH}/{running}"
    for method, end in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
        assert echo_gateway.ask(method, path + end, None, Authorization=f"Bearer {stranger}")[0] == 404
    assert echo_gateway.ask("POST", f"{path}/cancel")[1]["status"] == "cancelled"


def socket_of(running: Gateway):
    url = f"ws://127.0.0.1:{running.port}{PATH}"
    return connect(url, additional_headers={"Authorization": f"Bearer {running.key}"})


def received(socket):
    """All messages until the server closes the connection."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            messages.append(socket.recv(30))
    return messages


@pytest.mark.parametrize("polite", [True, False])
def test_leaving_a_websocket_frees_the_slot(echo_gateway: Gateway, polite):
    """When the client of a WebSocket goes, with or without a word, the engine stops."""
    with socket_of(echo_gateway) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "slow", "input": WORDS}))
        assert json.loads(socket.recv(30))["type"] == "response.created"
        until(lambda: busy(echo_gateway) == 1)
        if not polite:
            socket.socket.shutdown(2)
    until(lambda: busy(echo_gateway) == 0)


def test_a_stopping_server_finishes_what_a_websocket_asked_for(tmp_path):
    """At SIGTERM a response on a WebSocket is finished, then its connection is closed as one of a service that goes."""
    write_echo(tmp_path, options={"delay": 0.02}, context=100000)
    with gateway(tmp_path) as running, socket_of(running) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "echo", "input": "word " * 40}))
        assert json.loads(socket.recv(30))["type"] == "response.created"
        running.process.send_signal(signal.SIGTERM)
        events = [json.loads(message) for message in received(socket)]
        assert events[-1]["type"] == "response.completed"
        assert socket.close_code == 1012
        assert running.process.wait(20) == 0


def test_a_websocket_takes_no_more_than_a_body_may_be(tmp_path):
    """A message that is larger than a body may be ends its connection, and the server goes on."""
    write_echo(tmp_path)
    with gateway(tmp_path, body_limit="2000") as running:
        with socket_of(running) as socket:
            socket.send("x" * 5000)
            assert received(socket) == []
            assert socket.close_code == 1009
        assert ask(running)["status"] == "completed"
