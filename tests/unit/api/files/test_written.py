"""Lines of results, and the parameters of lists."""

import json

import pytest
from starlette.requests import Request

from localai.api.files.batching import written
from localai.api.files.query import query
from localai.core.errors import InvalidRequest
from localai.storage.lines import Line


def line(state: str, result: object = None) -> Line:
    told = None if result is None else json.dumps(result)
    return Line(number=3, name="mine", state=state, body="", result=told)  # type: ignore[arg-type]


def test_an_answer():
    """An answer is a line with its status and its body, and no error."""
    told = json.loads(written(line("done", {"status": 200, "request": "req_1", "body": {"a": 1}}), "batch_1"))
    assert told.pop("id").startswith("batch_req_")
    assert told == {
        "custom_id": "mine",
        "response": {"status_code": 200, "request_id": "req_1", "body": {"a": 1}},
        "error": None,
    }


def test_a_failure():
    """A failure is a line with its status and the error as the endpoint would have told it."""
    error = {"code": "overloaded", "message": "full", "param": None}
    told = json.loads(written(line("failed", {"status": 503, "request": "req_1", "error": error}), "batch_1"))
    assert told["response"]["status_code"] == 503
    assert told["response"]["body"] == {
        "error": {"message": "full", "type": "server_error", "param": None, "code": "overloaded"}
    }


@pytest.mark.parametrize(("state", "code"), [("expired", "batch_expired"), ("cancelled", "batch_cancelled")])
def test_what_was_not_run(state: str, code: str):
    """A request that was not run has no response and an error that says why."""
    told = json.loads(written(line(state), "batch_1"))
    assert (told["response"], told["error"]["code"]) == (None, code)


def test_ids_of_lines():
    """The id of a line is the same each time it is written, and another one in another batch."""
    once, again, other = (json.loads(written(line("expired"), batch))["id"] for batch in ("a", "a", "b"))
    assert once == again != other


def asked(text: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": text.encode()})


def test_the_parameters_of_a_list():
    """What is not given has its default; a page is never longer than a page."""
    assert query(asked(""), default=20, most=100) == (20, "desc", None)
    assert query(asked("limit=7&order=asc&after=x"), default=20, most=100) == (7, "asc", "x")
    assert query(asked("limit=10000"), default=20, most=10_000).limit == 1000
    assert query(asked("after="), default=20, most=100, order="asc") == (20, "asc", None)


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=" + "9" * 99, "limit"),
        ("limit=", "limit"),
        ("order=up", "order"),
    ],
)
def test_wrong_parameters_of_a_list(text: str, param: str):
    """A parameter that is not one is refused by its name."""
    with pytest.raises(InvalidRequest) as raised:
        query(asked(text), default=20, most=100)
    assert raised.value.param == param
