"""Paths that name a model."""

import json

import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from localai.api.body import read
from localai.api.named import Names
from localai.api.replies import json_reply
from localai.api.table import Row
from localai.api.visit import of
from localai.core.caller import Caller
from wire_server import serving

NAMES = Names(("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/rerank", "/v1/x/{id}"))


class Asked(BaseModel):
    """A body that names a model."""

    model: str | None = None


class Other(BaseModel):
    """A body that names none."""

    purpose: str | None = None


async def _model(request: Request, caller: Caller) -> Response:
    body = await read(request, Asked)
    return json_reply({"model": body.model, "route": of(request).route})


async def _other(request: Request, caller: Caller) -> Response:
    return json_reply((await read(request, Other)).model_dump())


async def _listed(request: Request, caller: Caller) -> Response:
    return json_reply({"listed": request.path_params["model"]})


ROWS = [
    Row("POST", "/v1/chat/completions", _model, "public", "", Asked),
    Row("POST", "/v1/completions", _model, "public", "", Asked),
    Row("POST", "/v1/files", _other, "public", "", Other),
    Row("GET", "/v1/models/{model:path}", _listed, "public", ""),
]


@pytest.mark.parametrize(
    ("path", "route", "model"),
    [
        ("/v1/models/a/chat/completions", "/v1/chat/completions", "a"),
        ("/models/a/chat/completions", "/v1/chat/completions", "a"),
        ("/v1/engines/a/completions", "/v1/completions", "a"),
        ("/engines/o/m:q4/embeddings", "/v1/embeddings", "o/m:q4"),
        ("/v1/models/host/owner/name/responses", "/v1/responses", "host/owner/name"),
        ("/openai/deployments/a/chat/completions", "/v1/chat/completions", "a"),
        ("/openai/v1/chat/completions", "/v1/chat/completions", None),
        ("/openai/v1/models/a/embeddings", "/v1/embeddings", "a"),
        ("/v1/models/a", "/v1/models/a", None),
        ("/v1/models/load", "/v1/models/load", None),
        ("/v1/models/chat/completions", "/v1/completions", "chat"),
        ("/v1/models//chat/completions", "/v1/models//chat/completions", None),
        ("/v1/models/a/rerank", "/v1/models/a/rerank", None),
        ("/v1/models/a/nothing", "/v1/models/a/nothing", None),
        ("/x/models/a/embeddings", "/x/models/a/embeddings", None),
    ],
)
def test_split(path, route, model):
    """The longest known ending of a path is the route, and what stands before it is the model, slashes and all."""
    assert NAMES.split("POST", path) == (route, model)


def test_what_is_not_posted_names_no_model():
    """A model may be called as a route is: it is described by GET all the same."""
    assert NAMES.split("GET", "/v1/models/a/embeddings") == ("/v1/models/a/embeddings", None)
    assert NAMES.split("GET", "/openai/v1/models") == ("/v1/models", None)


@pytest.mark.parametrize("body", [{}, {"model": None}, {"model": "b"}, {"model": 5}])
async def test_the_path_wins(body):
    """The model of the path stands in place of whatever the body says, and metrics count the plain route."""
    async with serving(ROWS) as gateway:
        got = await gateway.ask("POST", "/v1/models/o/a%3Aq4/chat/completions", json.dumps(body).encode())
    assert got.json() == {"model": "o/a:q4", "route": "/v1/chat/completions"}


async def test_other_paths_are_as_they_were():
    """Routes whose bodies name no model have no such form, and models are described at their path."""
    async with serving(ROWS) as gateway:
        assert (await gateway.ask("POST", "/v1/models/a/files", b"{}")).status == 405
        assert (await gateway.ask("POST", "/v1/files", b'{"model": 1}')).json() == {"purpose": None}
        assert (await gateway.ask("GET", "/v1/models/a/completions")).json() == {"listed": "a/completions"}
        assert (await gateway.ask("POST", "/v1/completions", b'{"model": "b"}')).json()["model"] == "b"
