"""The HTTP client of the command line."""

import socket
import threading

import pytest

from localai.cli.client import Client
from localai.cli.errors import Denied, Failure, Full, Missing, Misused, Unreachable
from serverdouble import Canned, ServerDouble, ndjson, said, sse


@pytest.fixture
def client(server: ServerDouble) -> Client:
    return Client(server.url, "sk-secret")


def test_get_returns_the_json_and_sends_the_key(server: ServerDouble, client: Client):
    """A GET returns the JSON at the path and carries the key as a bearer token."""
    server.on("GET", "/thing", Canned({"a": 1}))
    assert client.get("/thing") == {"a": 1}
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"


def test_no_key_no_header(server: ServerDouble):
    """Without a key no Authorization header is sent."""
    server.on("GET", "/thing", Canned({}))
    Client(server.url).get("/thing")
    assert "authorization" not in server.requests[0].headers


def test_a_path_prefix_of_the_url_is_kept(server: ServerDouble):
    """A server behind a path prefix is reached under that prefix."""
    server.on("GET", "/ai/thing", Canned({"a": 1}))
    assert Client(server.url + "/ai/").get("/thing") == {"a": 1}


@pytest.mark.parametrize(
    ("status", "case", "code"),
    [(400, Failure, 1), (401, Denied, 4), (403, Denied, 4), (404, Missing, 3), (507, Full, 6), (500, Failure, 1)],
)
def test_the_status_decides_the_exit_code(server: ServerDouble, client: Client, status: int, case: type, code: int):
    """Each kind of refusal has the exit code that the manual promises, and the server's own sentence."""
    server.on("GET", "/thing", Canned({"code": "some_code", "detail": "The moon is full."}, status=status))
    with pytest.raises(case) as caught:
        client.get("/thing")
    assert caught.value.exit == code
    assert caught.value.what == "The moon is full. (some_code)"


def test_an_openai_error_is_read_too(server: ServerDouble, client: Client):
    """The error object of the OpenAI routes gives message and code."""
    error = {"message": "No such model.", "code": "model_not_found", "type": "x", "param": None}
    server.on("POST", "/thing", Canned({"error": error}, status=404))
    with pytest.raises(Missing) as caught:
        client.post("/thing", {})
    assert caught.value.what == "No such model. (model_not_found)"
    assert "localai list" in caught.value.fix


def test_an_error_that_is_not_json_still_has_a_sentence(server: ServerDouble, client: Client):
    """An error page of a proxy becomes a sentence with the status."""
    server.on("GET", "/thing", Canned(b"<html>bad gateway</html>", status=502))
    with pytest.raises(Failure, match=r"502 \(Bad Gateway\)"):
        client.get("/thing")


def test_a_retry_after_is_passed_on(server: ServerDouble, client: Client):
    """When the server says when to come back, the failure says so."""
    server.on("GET", "/thing", Canned({"detail": "Busy."}, status=503, headers={"Retry-After": "7"}))
    with pytest.raises(Failure) as caught:
        client.get("/thing")
    assert "in 7 s" in caught.value.fix


def test_nobody_listening_is_unreachable():
    """A refused connection is exit code 5 and says how to start a server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable) as caught:
            Client(f"http://127.0.0.1:{taken.getsockname()[1]}").get("/")
    assert caught.value.exit == 5
    assert "localai serve" in caught.value.fix


@pytest.mark.parametrize("url", ["ftp://box", "http://", "http://box:99999", "http://[::1", "box"])
def test_what_is_no_url_is_refused(url: str):
    """An address that cannot be one is a usage error, before any connection."""
    with pytest.raises(Misused):
        Client(url)


def test_an_answer_that_is_not_json_is_a_failure(server: ServerDouble, client: Client):
    """A 200 with something else than JSON says that another program may listen there."""
    server.on("GET", "/thing", Canned(b"hello"))
    with pytest.raises(Failure, match="makes no sense"):
        client.get("/thing")


def test_records_come_one_a_line(server: ServerDouble, client: Client):
    """NDJSON is read line by line, blank lines left out."""
    server.on("POST", "/thing", Canned(pieces=[*ndjson({"a": 1}), b"\n", *ndjson({"a": 2})]))
    assert list(client.records("/thing", {})) == [{"a": 1}, {"a": 2}]


def test_a_record_that_is_no_object_is_a_failure(server: ServerDouble, client: Client):
    """A line that holds no JSON object ends the reading with a failure."""
    server.on("POST", "/thing", Canned(pieces=ndjson([1])))
    with pytest.raises(Failure, match="makes no sense"):
        list(client.records("/thing", {}))


def test_events_end_with_done(server: ServerDouble, client: Client):
    """Events are read up to [DONE]; comments are skipped."""
    server.on("POST", "/thing", Canned(pieces=sse({"a": 1}, {"a": 2})))
    assert list(client.events("/thing", {})) == [{"a": 1}, {"a": 2}]


def test_events_split_between_packets_are_whole(server: ServerDouble, client: Client):
    """An event that arrives in pieces is one event."""
    stream = b"".join(said("Grüße"))
    server.on("POST", "/thing", Canned(pieces=[stream[i : i + 5] for i in range(0, len(stream), 5)]))
    assert next(client.events("/thing", {}))["choices"][0]["delta"]["content"] == "Grüße"


def test_a_stream_without_its_end_is_a_failure(server: ServerDouble, client: Client):
    """A stream that stops before [DONE] is never taken for a whole answer."""
    server.on("POST", "/thing", Canned(pieces=sse({"a": 1}, end=False)))
    events = client.events("/thing", {})
    assert next(events) == {"a": 1}
    with pytest.raises(Failure, match="cut before the answer was complete"):
        next(events)


def test_an_error_inside_a_stream_has_its_exit_code(server: ServerDouble, client: Client):
    """An error event ends the stream with the exit code of its error class."""
    error = {"error": {"message": "No room.", "code": "not_enough_memory", "type": "server_error"}}
    server.on("POST", "/thing", Canned(pieces=sse({"a": 1}, error, end=False)))
    with pytest.raises(Full, match="No room"):
        list(client.events("/thing", {}))


def test_closing_the_events_closes_the_connection(server: ServerDouble, client: Client):
    """Whoever stops reading hangs up, which is what ends the generation on the server."""
    server.on("POST", "/thing", Canned(pieces=sse({"a": 1}, end=False), hold=True))
    events = client.events("/thing", {})
    assert next(events) == {"a": 1}
    events.close()
    assert server.left.wait(10)


def test_a_connection_cut_in_the_middle_of_the_head_is_a_failure():
    """A server that hangs up without an answer is a failure with a sentence, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Failure, match="cut"):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}").get("/")
        thread.join()


def test_a_silent_server_times_out():
    """A server that accepts and says nothing is given up after the time that was allowed."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(Failure, match="did not answer"),
    ):
        Client(f"http://127.0.0.1:{listener.getsockname()[1]}").get("/", wait=0.05)
