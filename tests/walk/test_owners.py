"""Two keys and every route with an id: what belongs to one owner does not exist for the other, in any dialect."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from gateway import Gateway

BOUNDARY = "----------------------------part"
NOT_STORED = {"model", "name", "digest", "job"}
"""Parameters that name no stored thing of a client: models, files of the store, and an operator's downloads."""
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/conversations/{id}"): {"metadata": {"a": "b"}},
    ("POST", "/v1/conversations/{id}/items"): {"items": [{"type": "message", "role": "user", "content": "Hello"}]},
    ("POST", "/v1/chat/completions/{completion}"): {"metadata": {"a": "b"}},
    ("POST", "/v1/uploads/{upload}/complete"): {"part_ids": ["part_0"]},
    ("POST", "/v1/vector_stores/{store}"): {"name": "stolen"},
    ("POST", "/v1/vector_stores/{store}/search"): {"query": "Hello"},
    ("POST", "/v1/vector_stores/{store}/files"): {"file_id": "$own"},
    ("POST", "/v1/vector_stores/{store}/files/{file}"): {"attributes": {"a": "b"}},
    ("POST", "/v1/vector_stores/{store}/file_batches"): {"file_ids": ["$own"]},
}
"""Bodies that are in order, so that the only thing wrong with a request is whose id it names."""


class Owner:
    """A key, and the requests made with it."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._url = gateway.url
        status, made = gateway.ask("POST", "/api/admin/keys", {"name": name, "scopes": ["infer"]})
        assert status in {200, 201}, made
        self._secret = made["secret"]

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """Status and JSON (or text) of one request."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {self._secret}")
        if data is not None:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read())

    def made(self, path: str, body: Any, kind: str = "application/json") -> str:
        """The id of something new."""
        status, answer = self.ask("POST", path, body, kind)
        assert status in {200, 201}, (path, status, answer)
        return answer["id"]

    def file(self, purpose: str, content: str) -> str:
        """The id of a new file."""
        fields = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
        fields += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n{content}\r\n'
        data = f"{fields}--{BOUNDARY}--\r\n".encode()
        return self.made("/v1/files", data, f"multipart/form-data; boundary={BOUNDARY}")

    def until(self, path: str, field: str, *wanted: str) -> None:
        """Wait until something has come to one of these states."""
        deadline = time.monotonic() + 60
        while (state := self.ask("GET", path)[1][field]) not in wanted:
            assert time.monotonic() < deadline, f"{path} stays {state}"
            time.sleep(0.05)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


class World(NamedTuple):
    """Two owners, and the ids of what the first one stored, by the path that names it."""

    owner: Owner
    stranger: Owner
    ids: dict[str, str]
    own: str
    """A file of the stranger's own."""
    operations: list[tuple[str, str]]


@pytest.fixture(scope="module")
def world(echo_gateway: Gateway) -> World:
    owner, stranger = Owner(echo_gateway, "ann"), Owner(echo_gateway, "bob")
    chat = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": chat}
    lines = owner.file("batch", json.dumps(line) + "\n")
    text = owner.file("assistants", "Hello world")
    request = {"custom_id": "one", "params": {**chat, "max_tokens": 4}}
    conversation = owner.made("/v1/conversations", {"items": [{"role": "user", "content": "Hello"}]})
    _, items = owner.ask("GET", f"/v1/conversations/{conversation}/items")
    store = owner.made("/v1/vector_stores", {"name": "mine"})
    upload = {"filename": "a.txt", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"}
    ids = {
        "/v1/files/{file}": text,
        "/v1/uploads/{upload}": owner.made("/v1/uploads", upload),
        "/v1/batches/{batch}": owner.made(
            "/v1/batches",
            {"input_file_id": lines, "endpoint": "/v1/chat/completions", "completion_window": "24h"},
        ),
        "/v1/chat/completions/{completion}": owner.made("/v1/chat/completions", {**chat, "store": True}),
        "/v1/responses/{id}": owner.made("/v1/responses", {"model": "echo", "input": "Hello"}),
        "/v1/conversations/{id}": conversation,
        "/v1/conversations/{id}/items/{item}": items["data"][0]["id"],
        "/v1/vector_stores/{store}": store,
        "/v1/vector_stores/{store}/files/{file}": owner.made(f"/v1/vector_stores/{store}/files", {"file_id": text}),
        "/v1/vector_stores/{store}/file_batches/{batch}": owner.made(
            f"/v1/vector_stores/{store}/file_batches", {"file_ids": [text]}
        ),
        "/v1/messages/batches/{batch}": owner.made("/v1/messages/batches", {"requests": [request]}),
    }
    owner.until(f"/v1/messages/batches/{ids['/v1/messages/batches/{batch}']}", "processing_status", "ended")
    _, document = echo_gateway.ask("GET", "/openapi.json")
    operations = [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if set(re.findall(r"{(\w+)}", path)) - NOT_STORED and not path.startswith("/api/admin")
    ]
    return World(owner, stranger, ids, stranger.file("assistants", "My own"), operations)


def filled(path: str, ids: dict[str, str]) -> str:
    """The path with the owner's ids in it; one of a kind that the world does not have fails the test."""
    known = ""
    for piece in path.strip("/").split("/"):
        known += f"/{piece}"
        if piece.startswith("{"):
            assert known in ids, f"{path}: give the matrix something that {known} names"
    for prefix in sorted(ids, key=len, reverse=True):
        if path.startswith(prefix):
            name = prefix.rsplit("/", 1)[1]
            path = filled(prefix.removesuffix(f"/{name}"), ids) + "/" + ids[prefix] + path.removeprefix(prefix)
    return path


def body(method: str, path: str, own: str) -> Any:
    if method != "POST":
        return None
    if path.endswith("/parts"):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
        return f"{head}Hello\r\n--{BOUNDARY}--\r\n".encode()
    return json.loads(json.dumps(BODIES.get((method, path), {})).replace("$own", own))


def kind(asked: Any) -> str:
    return f"multipart/form-data; boundary={BOUNDARY}" if isinstance(asked, bytes) else "application/json"


def test_another_owners_things_do_not_exist(world: World):
    """Every route that takes an id answers 404 to a key of another owner, and changes nothing."""
    wrong: list[tuple[str, str, int, Any]] = []
    for method, path in world.operations:
        asked = body(method, path, world.own)
        status, answer = world.stranger.ask(method, filled(path, world.ids), asked, kind(asked))
        if status != 404:
            wrong.append((method, path, status, answer))
    assert not wrong, wrong
    assert len(world.operations) > 35


def test_the_owner_still_has_everything(world: World):
    """After all those tries, everything is there for its owner as it was."""
    for method, path in world.operations:
        if method == "GET":
            status, answer = world.owner.ask(method, filled(path, world.ids))
            assert status == 200, (path, answer)
    _, store = world.owner.ask("GET", filled("/v1/vector_stores/{store}", world.ids))
    assert store["name"] == "mine"


def references(ids: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests whose body names something of another owner."""
    file = ids["/v1/files/{file}"]
    asked = {"model": "echo", "input": "Hello"}
    yield "/v1/responses", {**asked, "previous_response_id": ids["/v1/responses/{id}"]}
    yield "/v1/responses", {**asked, "conversation": ids["/v1/conversations/{id}"]}
    content = [{"type": "input_file", "file_id": file}]
    yield "/v1/responses", {"model": "echo", "input": [{"role": "user", "content": content}]}
    yield "/v1/batches", {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    yield "/v1/vector_stores", {"file_ids": [file]}
    part = [{"type": "file", "file": {"file_id": file}}]
    yield "/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": part}]}


def test_a_body_cannot_reach_another_owners_things(world: World):
    """An id of another owner in a body is not found either, and nothing is answered from it."""
    for path, asked in references(world.ids):
        status, answer = world.stranger.ask("POST", path, asked)
        assert status == 404, (path, asked, status, answer)


def test_lists_show_ones_own(world: World):
    """A list holds nothing of another owner."""
    lists = ("/v1/files", "/v1/batches", "/v1/vector_stores", "/v1/chat/completions", "/v1/messages/batches")
    for path in lists:
        status, answer = world.stranger.ask("GET", path)
        assert status == 200, (path, answer)
        assert not {row["id"] for row in answer["data"]} & set(world.ids.values()), path
        assert {row["id"] for row in world.owner.ask("GET", path)[1]["data"]} & set(world.ids.values()), path
