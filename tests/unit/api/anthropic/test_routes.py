"""The dialect over real HTTP, before a fake of what performs its tasks."""

import http.client
import json
from types import SimpleNamespace

import pytest

from echoing import FakePerform, echo
from localai.api.anthropic import routes as anthropic
from localai.api.openai import routes as openai
from localai.core import errors
from localai.core.caller import LOCAL
from localai.core.event import Done, Progress, Text, Usage
from serving import KEY, serving
from sse import Stream

MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
VERSION = {"anthropic-version": "2023-06-01"}


def raises(error):
    def script():
        raise error

    return script


FAILURES = {
    "busy": (errors.RateLimited(retry_after=2), 429, "rate_limit_error"),
    "full": (errors.Overloaded(retry_after=1.5), 529, "overloaded_error"),
    "resting": (errors.ModelUnavailable(retry_after=9), 503, "api_error"),
    "leaving": (errors.ShuttingDown(retry_after=5), 503, "api_error"),
    "unloadable": (errors.ModelLoadFailed(), 500, "api_error"),
    "broken": (errors.InternalError(), 500, "api_error"),
    "crashed": (errors.EngineCrashed(), 502, "api_error"),
    "stalled": (errors.EngineStalled(), 504, "timeout_error"),
    "slow": (errors.GenerationTimeout(), 504, "timeout_error"),
    "wordy": (errors.AnswerTooLarge(), 502, "api_error"),
    "hungry": (errors.NotEnoughMemory(), 507, "api_error"),
    "damaged": (errors.InvalidModel(), 422, "invalid_request_error"),
    "schema": (errors.UnsupportedSchema("The schema is odd.", param="schema"), 400, "invalid_request_error"),
    "context": (errors.ContextLengthExceeded(), 400, "invalid_request_error"),
    "unable": (errors.TaskNotSupported(), 400, "invalid_request_error"),
    "unforeseen": (ValueError("secret"), 500, "api_error"),
}
SCRIPTS = {name: raises(error) for name, (error, _, _) in FAILURES.items()} | {
    "dies": lambda: (Text(text="half"), errors.EngineCrashed("The process died.")),
    "ends": lambda: (Text(text="half"),),
    "reads": lambda: (Progress(stage="prefill", done=1, total=3), errors.EngineCrashed()),
    "stops": lambda: (Text(text="a"), Done(stop="END", usage=Usage(prompt=3, completion=1))),
}


class StoredFiles:
    """Two files of one owner."""

    def __init__(self):
        self.kept = {"file-1": ("tale.txt", b"Once."), "file-2": ("cat.png", b"\x89PNG\r\n\x1a\n")}

    def _own(self, owner, identifier):
        if owner != LOCAL.owner or identifier not in self.kept:
            raise errors.NotFound("There is no such file.")
        return self.kept[identifier]

    async def get(self, owner, identifier):
        return SimpleNamespace(payload={"filename": self._own(owner, identifier)[0]})

    async def read(self, owner, identifier, limit):
        return self._own(owner, identifier)[1]


@pytest.fixture(scope="module")
def anthropic_perform():
    plain = [echo(name) for name in SCRIPTS]
    return FakePerform(echo(aliases=("parrot",)), echo("vectors", tasks=("embed",)), *plain, scripts=SCRIPTS)


@pytest.fixture(scope="module")
def server(anthropic_perform):
    table = [*openai.rows(anthropic_perform), *anthropic.rows(anthropic_perform, files=StoredFiles())]
    with serving(table) as running:
        yield running


def said(content="to be\nor not", model="echo", **fields):
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **fields}


def frames(server, body):
    """The events of a stream, or the one JSON of an answer that is none."""
    stream = Stream(server.port, server.key, MESSAGES, {**body, "stream": True}).open()
    return stream, list(stream.events())


@pytest.mark.parametrize("path", [MESSAGES, "/messages", "/v1/messages?beta=true", "/v1/models/echo/messages"])
def test_a_message_is_answered(server, path):
    """The route answers under all its names, by the model's name or an alias, and without a model."""
    status, headers, answer = server.ask("POST", path, said(model="parrot"), VERSION)
    assert (status, answer["model"], answer["content"]) == (200, "echo", [{"type": "text", "text": "to be\nor not"}])
    assert (answer["stop_reason"], answer["usage"]["input_tokens"]) == ("end_turn", 4)
    assert headers["request-id"] == headers["x-request-id"]
    body = said()
    del body["model"]
    assert server.post(path, **body)[1]["model"] == "echo"


def test_a_stream_is_the_message_in_pieces(server):
    """The pieces of a stream join to the answer, under the names of Anthropic's events."""
    stream, events = frames(server, said())
    assert (stream.status, stream.headers["request-id"]) == (200, stream.headers["x-request-id"])
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "".join(event["delta"].get("text", "") for event in events if "delta" in event) == "to be\nor not"
    assert events[0]["message"]["usage"]["input_tokens"] == 4
    assert [event["type"] for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]


def test_a_forced_tool_is_called(server):
    """`any` and `tool` call, whole and streamed."""
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    for choice in ({"type": "any"}, {"type": "tool", "name": "look"}):
        _, answer = server.post(MESSAGES, **said(tools=tools, tool_choice=choice))
        assert answer["content"] == [{"type": "tool_use", "id": "toolu_echo", "name": "look", "input": {}}]
        _, events = frames(server, said(tools=tools, tool_choice=choice))
        assert events[1]["content_block"]["name"] == "look"
        assert events[-2]["delta"]["stop_reason"] == answer["stop_reason"] == "tool_use"


def test_a_stop_sequence_is_named(server):
    """The sequence that ended the text is told, whole and streamed."""
    body = said(model="stops", stop_sequences=["END"])
    _, answer = server.post(MESSAGES, **body)
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    assert frames(server, body)[1][-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_tokens_are_counted_as_the_template_writes_them(server):
    """The count is that of the written prompt, which every message adds to."""
    status, headers, one = server.ask("POST", COUNT, said("a b c"))
    assert (status, headers["request-id"]) == (200, headers["x-request-id"])
    two = server.post(COUNT, **said("a b c", system="x y"))[1]
    assert two["input_tokens"] > one["input_tokens"] > 0
    body = said("a b c")
    del body["model"]
    assert server.post(COUNT, **body)[1] == one


def test_stored_files_are_read(server, anthropic_perform):
    """A document or image may be a stored file of the caller; another's is not there."""

    def block(kind, name):
        return {"type": kind, "source": {"type": "file", "file_id": name}}

    status, answer = server.post(MESSAGES, **said([block("document", "file-1")]))
    assert (status, "Once." in answer["content"][0]["text"]) == (200, True)
    server.post(MESSAGES, **said([block("image", "file-2"), {"type": "text", "text": "What?"}]))
    assert anthropic_perform.asked[-1].prompt.messages[0].content[0].data == b"\x89PNG\r\n\x1a\n"
    for kind in ("document", "image"):
        status, answer = server.post(MESSAGES, **said([block(kind, "file-9")]))
        assert (status, answer["error"]["type"]) == (404, "not_found_error")
        assert "messages.0.content.0.source.file_id" in answer["error"]["message"]


def test_keep_alive_reaches_the_fleet(server, anthropic_perform):
    """`keep_alive` says how long the model stays loaded."""
    server.post(MESSAGES, **said(keep_alive="10m"))
    assert anthropic_perform.keep_alive[-1] == 600


def test_models_are_listed_for_anthropics_clients(server):
    """With `anthropic-version` the list has pages, and one model its description; without it nothing changes."""
    _, headers, whole = server.ask("GET", "/v1/models?limit=1000", headers=VERSION)
    names = [model["id"] for model in whole["data"]]
    assert (names[0], names[-1], whole["has_more"]) == ("echo", "parrot", False)
    assert headers["request-id"]
    pages, after = [], ""
    while True:
        page = server.ask("GET", f"/v1/models?limit=7{after}", headers=VERSION)[2]
        pages += [model["id"] for model in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = f"&after_id={page['last_id']}"
    assert pages == names
    back = server.ask("GET", f"/v1/models?limit=2&before_id={names[3]}", headers=VERSION)[2]
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (names[1:3], True)
    one = server.ask("GET", "/v1/models/parrot", headers=VERSION)[2]
    assert (one["id"], one["type"], one["display_name"]) == ("parrot", "model", "parrot (echo)")
    assert one["created_at"] == "2023-11-14T22:13:20Z"
    assert server.ask("GET", "/v1/models")[2]["object"] == "list"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after_id=nobody", "after_id=echo&before_id=echo"]
)
def test_pages_that_make_no_sense_are_refused(server, query):
    """A limit out of range and an id that is not there are told."""
    status, _, answer = server.ask("GET", f"/v1/models?{query}", headers=VERSION)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_the_probe_is_answered_to_everyone(server, method):
    """Claude Code's first question needs no key."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, "/api/hello")
    answer = connection.getresponse()
    assert (answer.status, bool(answer.headers["request-id"])) == (200, True)
    connection.close()


def check_error(status, headers, answer, expected, kind):
    assert (status, answer["type"], answer["error"]["type"]) == (expected, "error", kind)
    assert answer["error"]["message"]
    assert answer["request_id"] == headers["request-id"] == headers["x-request-id"]
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", FAILURES)
def test_failures_before_the_first_byte_are_http_errors(server, name, streamed):
    """Each case has its status, Anthropic's type, the request's id, and says whether a retry can help."""
    error, expected, kind = FAILURES[name]
    status, headers, answer = server.ask("POST", MESSAGES, said(model=name, stream=streamed))
    check_error(status, headers, answer, expected, kind)
    retry = getattr(error, "retry", False)
    assert headers["x-should-retry"] == ("true" if retry else "false")
    after = getattr(error, "retry_after", None)
    assert headers.get("retry-after-ms") == (None if after is None else str(round(after * 1000)))


@pytest.mark.parametrize(
    ("path", "body", "more", "expected", "kind"),
    [
        (MESSAGES, said(model="nobody"), {}, 404, "not_found_error"),
        (COUNT, said(model="nobody"), {}, 404, "not_found_error"),
        (MESSAGES, said(model="vectors"), {}, 400, "invalid_request_error"),
        (MESSAGES, said("long " * 5000), {}, 400, "invalid_request_error"),
        (MESSAGES, said(temperature="hot"), {}, 400, "invalid_request_error"),
        (MESSAGES, b"{", {}, 400, "invalid_request_error"),
        (MESSAGES, b"", {}, 400, "invalid_request_error"),
        (MESSAGES, b"[]", {}, 400, "invalid_request_error"),
        (MESSAGES, b'{"a":1,"a":2}', {}, 400, "invalid_request_error"),
        (MESSAGES, {"model": "echo"}, {}, 400, "invalid_request_error"),
        (MESSAGES, said(), {"Authorization": "Bearer wrong"}, 401, "authentication_error"),
        (MESSAGES, said(), {"x-api-key": "another"}, 400, "invalid_request_error"),
        (MESSAGES, b" " * (32 * 2**20 + 1), {}, 413, "request_too_large"),
        ("/v1/messages/unknown", said(), {}, 404, "not_found_error"),
    ],
)
def test_requests_that_cannot_be_served(server, path, body, more, expected, kind):
    """What is wrong with a request itself has the same shape."""
    status, headers, answer = server.ask("POST", path, body, more)
    check_error(status, headers, answer, expected, kind)
    assert headers["x-should-retry"] == "false"


def test_a_path_takes_its_methods_only(server):
    """Another method is refused in Anthropic's shape."""
    status, headers, answer = server.ask("GET", MESSAGES)
    check_error(status, headers, answer, 405, "invalid_request_error")
    assert headers["allow"] == "POST"


def test_both_spellings_of_a_key_are_read(server):
    """`x-api-key` and `Authorization` are the same."""
    status, _, _ = server.ask("POST", MESSAGES, said(), {"Authorization": "", "x-api-key": KEY})
    assert status == 200


@pytest.mark.parametrize(("model", "before"), [("dies", 3), ("ends", 3), ("reads", 1)])
def test_a_stream_that_breaks_ends_with_one_error(server, model, before):
    """A failure after the first byte is one event `error`; no end of the message is made up."""
    stream, events = frames(server, said(model=model))
    assert stream.status == 200
    assert [event["type"] for event in events][before:] == ["error"]
    assert events[-1]["error"]["type"] == "api_error"
    assert events[-1]["request_id"] == stream.headers["request-id"]
