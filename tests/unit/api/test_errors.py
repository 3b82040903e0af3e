"""Errors as answers."""

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from localai.api import errors
from localai.core.errors import BY_CODE, InternalError, LocalAIError, NotFound, RateLimited, Unauthenticated


@pytest.mark.parametrize("case", sorted(set(BY_CODE.values()), key=lambda case: case.code))
def test_every_error_has_both_shapes(case: type[LocalAIError]):
    """Every error becomes OpenAI's object on a dialect's route and a problem document on ours."""
    theirs = errors.reply(case(param="a.b"), {"type": "http", "path": "/v1/x"})
    assert theirs.status_code == case.status
    assert json.loads(theirs.body)["error"] == {
        "message": case().message,
        "type": case.kind,
        "param": "a.b",
        "code": case.code,
    }
    ours = errors.reply(case(param="a.b"), {"type": "http", "path": "/api/admin/x"})
    assert ours.headers["content-type"] == "application/problem+json"
    document = json.loads(ours.body)
    assert (document["status"], document["code"], document["detail"]) == (case.status, case.code, case().message)
    assert ours.headers["x-should-retry"] == ("true" if case.retry else "false")


def test_retry_after():
    """A time to wait is given in whole seconds, never 0, and in milliseconds."""
    found = errors.headers(RateLimited(retry_after=0.2))
    assert (found["retry-after"], found["retry-after-ms"]) == ("1", "200")


def test_unauthenticated_says_how():
    """A 401 names the scheme."""
    assert errors.headers(Unauthenticated())["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (NotFound(), "not_found"),
        (HTTPException(404), "not_found"),
        (HTTPException(405), "method_not_allowed"),
        (HTTPException(400), "invalid_value"),
        (HTTPException(502), "internal_error"),
        (ClientDisconnect(), "cancelled"),
        (RecursionError("canary"), "internal_error"),
        (KeyError("canary"), "internal_error"),
    ],
)
def test_narrow(raised, code):
    """Whatever is raised becomes an error of our tree, without its text."""
    known = errors.narrow(raised)
    assert known.code == code
    assert "canary" not in known.message
    assert isinstance(known, InternalError) or not isinstance(raised, KeyError)
