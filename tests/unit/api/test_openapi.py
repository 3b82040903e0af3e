"""The description of the API."""

import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from localai.api import openapi
from localai.api.table import Row
from localai.core.caller import Caller


class Inner(BaseModel):
    """Something inside."""

    number: int


class Outer(BaseModel):
    """Something outside."""

    inner: list[Inner]


async def _handler(request: Request, caller: Caller) -> Response:
    return Response()


ROWS = [
    Row("POST", "/v1/things/{name:path}", _handler, "infer", "Make a <thing>", Outer, "things", {"type": "object"}),
    Row("GET", "/api/admin/x", _handler, "admin", "Ours"),
    Row("GET", "/open", _handler, "public", "Open"),
    Row("GET", "/hidden", _handler, "public", "Hidden", listed=False),
]


def _references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set[str]()
        return own.union(*(_references(item) for item in value.values()))
    return set[str]().union(*(_references(item) for item in value)) if isinstance(value, list) else set()


def test_document():
    """Paths, parameters, bodies, answers, scopes and both shapes of errors are described."""
    document = openapi.describe(ROWS, "1")
    assert set(document["paths"]) == {"/v1/things/{name}", "/api/admin/x", "/open"}
    made = document["paths"]["/v1/things/{name}"]["post"]
    assert made["parameters"][0] == {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    assert made["responses"]["200"]["content"]["application/json"]["schema"] == {"type": "object"}
    assert made["x-scope"] == "infer"
    assert document["paths"]["/open"]["get"]["security"] == []
    ours = document["paths"]["/api/admin/x"]["get"]["responses"]["default"]["content"]
    assert list(ours) == ["application/problem+json"]


def test_references_resolve():
    """Every schema that is referred to is in the document, nested ones too."""
    document = openapi.describe(ROWS, "1")
    names = {reference.rsplit("/", 1)[1] for reference in _references(document)}
    assert {"Outer", "Inner", "Error", "Problem"} <= names
    assert names <= set(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/things", "Error"),
        ("/v1/messages/count_tokens", "MessagesError"),
        ("/api/chat", "PlainError"),
        ("/api/admin/x", "Problem"),
    ],
)
def test_each_dialect_has_its_error(path: str, name: str):
    """The errors of a route are described in the shape of its dialect."""
    document = openapi.describe([Row("GET", path, _handler, "infer", "Do")], "1")
    (content,) = document["paths"][path]["get"]["responses"]["default"]["content"].values()
    assert content["schema"]["$ref"].rsplit("/", 1)[1] == name
    assert name in document["components"]["schemas"]


def test_page():
    """The page for people escapes what it shows and leaves out what is not listed."""
    page = openapi.page(ROWS, "1")
    assert "Make a &lt;thing&gt;" in page
    assert "/hidden" not in page
