"""Batches on a real gateway: killed, restarted, cancelled, out of time, beside live traffic, and of two owners."""

import json
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Gateway, gateway, write_echo
from posting import Client, form, over, request, said

if TYPE_CHECKING:
    from collections.abc import Callable

HELD: dict[str, Any] = {"slots": 2, "options": {"delay": 0.05}, "context": 10_000}


def client(running: Gateway, key: str | None = None) -> Client:
    return Client(running.port, key or running.key)


def another(running: Gateway, **fields: object) -> Client:
    """A client of another owner, with a key of its own."""
    made_by = {"name": "other", "owner": secrets.token_hex(8), "scopes": ["infer"], **fields}
    status, made = running.ask("POST", "/api/admin/keys", made_by)
    assert status in {200, 201}, made
    return client(running, made["secret"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("batches")
    write_echo(home, slots=4)
    write_echo(home, "slow", slots=2, options={"delay": 0.05}, context=10_000)
    with gateway(home) as started:
        yield started


@pytest.mark.slow
def test_a_thousand_requests_and_a_kill(tmp_path: Path):
    """1,000 requests with kill -9 of the server in the middle: 1,000 results, none twice, none lost."""
    home = tmp_path / "home"
    home.mkdir()
    write_echo(home, slots=4)
    with gateway(home) as first:
        batch = client(first).batch([request(number) for number in range(1000)])
        killed = client(first).when(batch["id"], lambda now: now["request_counts"]["completed"] >= 300)
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(30)
    assert killed["status"] == "in_progress"
    assert killed["request_counts"]["completed"] < 1000
    with gateway(home) as second:
        asking = client(second)
        ended = asking.when(batch["id"], over)
        lines = asking.results(ended["output_file_id"])
        files = asking.ask("GET", "/v1/files?purpose=batch_output")[1]["data"]
    assert (ended["status"], ended["error_file_id"]) == ("completed", None)
    assert ended["request_counts"] == {"total": 1000, "completed": 1000, "failed": 0}
    assert [line["custom_id"] for line in lines] == [f"request-{number}" for number in range(1000)]
    assert [said(line) for line in lines] == [f"say {number}" for number in range(1000)]
    assert len({line["id"] for line in lines}) == 1000
    assert [file["id"] for file in files] == [ended["output_file_id"]]


def test_a_restart_with_a_signal_loses_nothing(tmp_path: Path):
    """A server that is told to stop leaves at once though a batch runs, and the next one finishes it."""
    home = tmp_path / "home"
    home.mkdir()
    write_echo(home, "slow", **HELD)
    with gateway(home) as first:
        batch = client(first).batch([request(number, "slow") for number in range(40)])
        client(first).when(batch["id"], lambda now: now["request_counts"]["completed"] >= 3)
        assert first.stop() == 0
    with gateway(home) as second:
        ended = client(second).when(batch["id"], over)
        lines = client(second).results(ended["output_file_id"])
    assert ended["status"] == "completed"
    assert [line["custom_id"] for line in lines] == [f"request-{number}" for number in range(40)]


def test_every_endpoint_answers_in_its_own_shape(running: Gateway):
    """A batch may ask for chats, completions, embeddings, rankings and responses; each line has that answer."""
    bodies: dict[str, tuple[dict[str, Any], Callable[[Any], bool]]] = {
        "/v1/completions": ({"prompt": "one two"}, lambda body: body["choices"][0]["text"] == "one two"),
        "/v1/embeddings": ({"input": ["a", "b"]}, lambda body: [each["index"] for each in body["data"]] == [0, 1]),
        "/v1/rerank": ({"query": "a", "documents": ["b", "a"]}, lambda body: body["results"][0]["index"] == 1),
        "/v1/responses": ({"input": "hello there"}, lambda body: body["status"] == "completed"),
        "/v1/chat/completions": (
            {"messages": [{"role": "user", "content": "x"}], "n": 2},
            lambda b: len(b["choices"]) == 2,
        ),
    }
    asking = client(running)
    for url, (body, fits) in bodies.items():
        line = {"custom_id": "a", "method": "POST", "url": url, "body": {"model": "echo", **body}}
        ended = asking.when(asking.batch([line], url)["id"], over)
        assert ended["status"] == "completed"
        (result,) = asking.results(ended["output_file_id"])
        assert result["response"]["status_code"] == 200, url
        assert fits(result["response"]["body"]), (url, result)


def test_lines_that_fail_are_in_the_file_of_errors(running: Gateway):
    """Each failure is a line with status and error in OpenAI's shape, and the others are answered all the same."""
    lines = [request(0), request(1, "missing"), request(2, temperature="hot"), request(3)]
    asking = client(running)
    ended = asking.when(asking.batch(lines, metadata={"of": "test"})["id"], over)
    assert ended["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    assert ended["metadata"] == {"of": "test"}
    assert [line["custom_id"] for line in asking.results(ended["output_file_id"])] == ["request-0", "request-3"]
    failed = asking.results(ended["error_file_id"])
    told = [(line["custom_id"], line["response"]["status_code"]) for line in failed]
    assert told == [("request-1", 404), ("request-2", 400)]
    assert [line["response"]["body"]["error"]["param"] for line in failed] == ["model", "temperature"]


def test_a_file_with_mistakes_fails_with_their_lines(running: Gateway):
    """A batch of a bad file never runs: it is failed, and its errors tell code, line and field."""
    lines = [
        json.dumps(request(0)),
        "{not json",
        "[]",
        json.dumps(request(0)),
        json.dumps(request(1) | {"method": "GET"}),
        json.dumps(request(2, url="/v1/embeddings")),
        json.dumps(request(3) | {"body": "text"}),
        json.dumps({key: value for key, value in request(4).items() if key != "custom_id"}),
        "",
    ]
    asking = client(running)
    file = asking.store("\n".join(lines).encode())
    body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = asking.ask("POST", "/v1/batches", body)[1]
    assert batch["status"] == "validating"
    ended = asking.when(batch["id"], over)
    assert (ended["status"], ended["output_file_id"], ended["error_file_id"]) == ("failed", None, None)
    assert [(error["line"], error["code"]) for error in ended["errors"]["data"]] == [
        (2, "invalid_json_line"),
        (3, "invalid_json_line"),
        (4, "duplicate_custom_id"),
        (5, "invalid_method"),
        (6, "mismatched_url"),
        (7, "invalid_body"),
        (8, "invalid_custom_id"),
    ]


def test_an_empty_file_fails(running: Gateway):
    """A batch without any request is failed, and says so."""
    ended = client(running).when(client(running).batch([])["id"], over)
    assert ended["status"] == "failed"
    assert [error["code"] for error in ended["errors"]["data"]] == ["empty_file"]


def test_cancel(running: Gateway):
    """A cancelled batch stops at once, keeps what it has, and says of the others that they were not run."""
    asking = client(running)
    batch = asking.batch([request(number, "slow") for number in range(100)])
    asking.when(batch["id"], lambda now: now["request_counts"]["completed"] >= 2)
    status, cancelled = asking.ask("POST", f"/v1/batches/{batch['id']}/cancel")
    assert (status, cancelled["status"]) == (200, "cancelling")
    ended = asking.when(batch["id"], over)
    assert ended["status"] == "cancelled"
    done, undone = asking.results(ended["output_file_id"]), asking.results(ended["error_file_id"])
    assert len(done) >= 2
    assert len(undone) > 50
    assert {line["error"]["code"] for line in undone} == {"batch_cancelled"}
    assert len({line["custom_id"] for line in done + undone}) == 100
    assert asking.ask("POST", f"/v1/batches/{batch['id']}/cancel")[1]["status"] == "cancelled"
    assert running.loaded()[0]["queued"] == 0


def test_the_window_closes(running: Gateway):
    """What was not run within the window is told as expired; what was is kept."""
    asking = client(running)
    lines = [request(number, "slow") for number in range(2000)]
    ended = asking.when(asking.batch(lines, completion_window="2s")["id"], over)
    assert ended["status"] == "expired"
    assert ended["expired_at"] >= ended["expires_at"]
    done, undone = asking.results(ended["output_file_id"]), asking.results(ended["error_file_id"])
    assert {line["error"]["code"] for line in undone} == {"batch_expired"}
    assert len({line["custom_id"] for line in done + undone}) == 2000
    assert ended["request_counts"] == {"total": 2000, "completed": len(done), "failed": len(undone)}


def test_a_batch_has_the_rights_of_its_maker(running: Gateway):
    """A key that may use one model only cannot reach another one through a batch."""
    narrow = another(running, models=["slow"])
    ended = narrow.when(narrow.batch([request(0, "echo"), request(1, "slow")])["id"], over)
    (done,), (failed,) = narrow.results(ended["output_file_id"]), narrow.results(ended["error_file_id"])
    assert (done["custom_id"], failed["custom_id"]) == ("request-1", "request-0")
    assert failed["response"]["body"]["error"]["code"] == "model_not_found"


def test_what_is_asked_wrongly_is_refused(running: Gateway):
    """An unknown file, endpoint or window is an error that names the field, and nothing begins."""
    asking = client(running)
    file = asking.store(b"{}")
    good = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    before = len(asking.ask("GET", "/v1/batches?limit=100")[1]["data"])
    for wrong, status, param in (
        ({"input_file_id": "file-none"}, 404, "id"),
        ({"endpoint": "/v1/nothing"}, 400, "endpoint"),
        ({"completion_window": "48h"}, 400, "completion_window"),
        ({"completion_window": "soon"}, 400, "completion_window"),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
        ({"metadata": {str(number): "" for number in range(17)}}, 400, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "output_expires_after.seconds"),
    ):
        told, answer = asking.ask("POST", "/v1/batches", good | wrong)
        assert (told, answer["error"]["param"]) == (status, param), answer
    assert len(asking.ask("GET", "/v1/batches?limit=100")[1]["data"]) == before


def test_pages(running: Gateway):
    """Following `after` through the list gives every batch once, the newest first."""
    asking = another(running)
    made = [asking.batch([request(number)])["id"] for number in range(5)]
    for identifier in made:
        asking.when(identifier, over)
    seen: list[str] = []
    after = ""
    while True:
        page = asking.ask("GET", f"/v1/batches?limit=2{after}")[1]
        seen += [batch["id"] for batch in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == made[::-1]


def test_two_owners(running: Gateway):
    """Whatever one owner has stored is a 404 for another, on every route that takes an id."""
    ann, bob = another(running), another(running)
    file = ann.store(b"{}")
    upload = ann.ask("POST", "/v1/uploads", {"filename": "a", "purpose": "batch", "bytes": 1})[1]["id"]
    part = ann.post_form(f"/v1/uploads/{upload}/parts", form(("data", b"x", "x")))[1]["id"]
    batch = ann.batch([request(0)])["id"]
    chat = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "store": True}
    stored = ann.ask("POST", "/v1/chat/completions", chat)[1]["id"]
    new = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    asked: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
        ("GET", f"/v1/files/{file}", None),
        ("GET", f"/v1/files/{file}/content", None),
        ("DELETE", f"/v1/files/{file}", None),
        ("GET", f"/v1/files?after={file}", None),
        ("POST", f"/v1/uploads/{upload}/complete", {"part_ids": [part]}),
        ("POST", f"/v1/uploads/{upload}/cancel", None),
        ("GET", f"/v1/batches/{batch}", None),
        ("POST", f"/v1/batches/{batch}/cancel", None),
        ("GET", f"/v1/batches?after={batch}", None),
        ("POST", "/v1/batches", new | {"input_file_id": file}),
        ("GET", f"/v1/chat/completions/{stored}", None),
        ("POST", f"/v1/chat/completions/{stored}", {"metadata": {}}),
        ("DELETE", f"/v1/chat/completions/{stored}", None),
        ("GET", f"/v1/chat/completions/{stored}/messages", None),
        ("GET", f"/v1/chat/completions?after={stored}", None),
    )
    for method, path, body in asked:
        status, answer = bob.ask(method, path, body)
        assert status == 404, (method, path, answer)
    status, answer = bob.post_form(f"/v1/uploads/{upload}/parts", form(("data", b"x", "x")))
    assert status == 404, answer
    own = bob.ask("POST", "/v1/uploads", {"filename": "a", "purpose": "batch", "bytes": 1})[1]["id"]
    status, answer = bob.ask("POST", f"/v1/uploads/{own}/complete", {"part_ids": [part]})
    assert (status, answer["error"]["param"]) == (400, "part_ids.0")
    for path in ("/v1/files", "/v1/batches", "/v1/chat/completions"):
        assert bob.ask("GET", path)[1]["data"] == []
    assert ann.content(file) == b"{}"
    assert ann.ask("POST", f"/v1/uploads/{upload}/complete", {"part_ids": [part]})[0] == 200


def test_live_traffic_is_not_kept_waiting(running: Gateway):
    """While a batch fills a model of two slots, a live request finds a slot free: the batch has one."""
    asking = client(running)
    long: dict[str, Any] = {"messages": [{"role": "user", "content": "word " * 400}]}
    batch = asking.batch([request(number, "slow", **long) for number in range(20)])

    def busy(_: dict[str, Any]) -> bool:
        return any(row["name"] == "slow" and row["busy"] == 1 and row["queued"] > 0 for row in running.loaded())

    asking.when(batch["id"], busy)
    status, answer = asking.ask(
        "POST", "/v1/chat/completions", {"model": "slow", "messages": [{"role": "user", "content": "now"}]}
    )
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "now")
    assert asking.ask("GET", f"/v1/batches/{batch['id']}")[1]["request_counts"]["completed"] == 0
    asking.ask("POST", f"/v1/batches/{batch['id']}/cancel")
    asking.when(batch["id"], over)
