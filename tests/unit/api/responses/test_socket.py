"""The WebSocket of the responses API, over real sockets."""

import asyncio
import json
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from echoing import FakePerform, echo
from localai.api.responses import socket as module
from localai.api.responses.routes import responder, rows, sockets
from localai.core.errors import EngineCrashed
from localai.core.event import Done, Text
from localai.service.conversations import Conversations
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.storage.database import Database
from serving import serving

SCRIPTS = {"dies": lambda: (Text(text="half"), EngineCrashed("The process died.")), "quick": lambda: (Done(),)}


@pytest.fixture(scope="module")
def perform():
    return FakePerform(echo(), echo("slow", delay=0.02), *map(echo, SCRIPTS), scripts=SCRIPTS, context=4000)


@pytest.fixture(scope="module")
def server(perform, tmp_path_factory):
    database = asyncio.run(Database.open(tmp_path_factory.mktemp("state") / "state.db"))
    responses, conversations = Responses(database), Conversations(database)
    answering = responder(perform, responses, conversations)
    with serving(rows(answering, responses, conversations, Runs()), sockets(answering)) as running:
        yield running


def opened(server, path="/v1/responses", **options):
    headers = {"Authorization": f"Bearer {server.key}"} | options.pop("headers", {})
    url = f"ws://127.0.0.1:{server.port}{path}"
    return connect(url, additional_headers=headers, max_size=None, **options)


def ask(socket, text="to be", model="echo", **fields):
    """Send one request; gives its events."""
    socket.send(json.dumps({"type": "response.create", "model": model, "input": text, **fields}))
    return heard(socket)


def heard(socket):
    events = []
    while not events or events[-1]["type"] not in {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
    }:
        events.append(json.loads(socket.recv(30)))
    return events


def prompt(perform):
    return ["".join(part.text for part in message.content) for message in perform.asked[-1].prompt.messages]


def test_a_message_is_answered_by_the_events_of_a_stream(server):
    """Each event is one message, the same as in a stream; one connection answers many requests, at both paths."""
    for path in ("/v1/responses", "/responses"):
        with opened(server, path) as socket:
            for _ in range(3):
                events = ask(socket)
                assert [event["sequence_number"] for event in events] == list(range(len(events)))
                assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
                assert "".join(event.get("delta", "") for event in events) == "to be"


def test_a_connection_remembers_its_last_response(server, perform):
    """What is not stored can be continued on its own connection, and only there, and only from the last response."""
    with opened(server) as socket:
        first = ask(socket, "one", store=False)[-1]["response"]["id"]
        second = ask(socket, "two", store=False, previous_response_id=first)[-1]["response"]["id"]
        ask(socket, "three", store=False, previous_response_id=second)
        assert prompt(perform) == ["one", "one", "two", "two", "three"]
        (error,) = ask(socket, "x", store=False, previous_response_id=first)
        assert (error["type"], error["status"], error["error"]["param"]) == ("error", 404, "previous_response_id")
        last = ask(socket, "four", store=False)[-1]["response"]["id"]
    with opened(server) as socket:
        assert ask(socket, "x", previous_response_id=last)[0]["status"] == 404


def test_a_failed_turn_is_forgotten(server):
    """After a failure the response that was continued is no longer remembered."""
    with opened(server) as socket:
        first = ask(socket, "one", store=False)[-1]["response"]["id"]
        assert ask(socket, "x", "dies", store=False, previous_response_id=first)[-1]["type"] == "response.failed"
        assert ask(socket, "x", store=False, previous_response_id=first)[0]["status"] == 404


def test_a_warm_up_is_an_id_without_an_answer(server, perform):
    """With `generate: false` nothing is generated; the id that comes can be continued."""
    before = len(perform.asked)
    with opened(server) as socket:
        warm = ask(socket, "first", store=False, generate=False)[-1]
        assert (warm["type"], warm["response"]["output"], len(perform.asked)) == ("response.completed", [], before)
        ask(socket, [], store=False, previous_response_id=warm["response"]["id"])
        assert prompt(perform) == ["first"]


def test_requests_wait_for_their_turn(server):
    """Requests that come together are answered one after the other, each under the name of its stream."""
    with opened(server) as socket:
        for name in ("a", "b"):
            message = {"type": "response.create", "model": "slow", "input": f"say {name}", "stream_id": name}
            socket.send(json.dumps(message))
        for name in ("a", "b"):
            events = heard(socket)
            assert {event["stream_id"] for event in events} == {name}
            assert events[-1]["response"]["output"][0]["content"][0]["text"] == f"say {name}"


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("no json", "invalid_json", None),
        ("[]", "invalid_value", None),
        (b'{"type": "response.steer"}', "invalid_value", "type"),
        ('{"input": "x"}', "invalid_value", "type"),
        ('{"type": "response.create", "input": 5}', "invalid_value", "input"),
        ('{"type": "response.create", "input": "x", "model": "none"}', "model_not_found", "model"),
        ('{"type": "response.create", "input": "x", "background": true}', "invalid_value", "background"),
    ],
)
def test_a_wrong_message_is_an_error_event(server, message, code, param):
    """What is wrong with a message is told as an event with its status; the connection goes on."""
    with opened(server) as socket:
        socket.send(message)
        (error,) = heard(socket)
        assert (error["error"]["code"], error["error"]["param"]) == (code, param)
        assert error["error"]["headers"]["x-should-retry"] == "false"
        assert ask(socket)[-1]["type"] == "response.completed"


def test_leaving_stops_the_engine(server, perform):
    """When the client leaves, what runs on its connection is cancelled."""
    before = perform.stopped
    with opened(server) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "slow", "input": "word " * 2000}))
        socket.recv(30)
    deadline = time.monotonic() + 10
    while perform.stopped == before:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_too_many_requests_are_refused(server, monkeypatch):
    """Only so many requests of a connection wait; one more is refused at once."""
    monkeypatch.setattr(module, "AHEAD", 1)
    with opened(server) as socket:
        message = {"type": "response.create", "model": "slow", "input": "word " * 100}
        socket.send(json.dumps(message))
        assert json.loads(socket.recv(30))["type"] == "response.created"
        for _ in range(2):
            socket.send(json.dumps({**message, "model": "quick"}))
        refused = heard(socket)[-1]
        assert (refused["type"], refused["status"], refused["error"]["code"]) == ("error", 503, "overloaded")


def test_an_idle_connection_is_closed(server, monkeypatch):
    """A connection without work is closed after its time."""
    monkeypatch.setattr(module.Talk.__init__, "__defaults__", (0.05,))
    with opened(server) as socket, pytest.raises(ConnectionClosed):
        socket.recv(30)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/responses", {"Authorization": "Bearer sk-wrong"}, 401),
        ("/v1/responses", {"Origin": "http://evil.example"}, 403),
        ("/v1/nothing", {}, 403),
        ("/v1/conversations", {}, 403),
    ],
)
def test_a_connection_that_may_not_be_is_an_http_answer(server, path, headers, status):
    """Without the right key, from another site's page, or where there is none, no WebSocket begins."""
    with pytest.raises(InvalidStatus) as caught, opened(server, path, headers=headers):
        pass
    assert caught.value.response.status_code == status
