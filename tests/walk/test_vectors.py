"""Vector stores on a real gateway."""

import json
import time
from pathlib import Path

import pytest

from gateway import Gateway, gateway, write_echo
from posting import Client
from strangers import key_of

STORES = "/v1/vector_stores"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("vectors")
    write_echo(home)
    with gateway(home) as started:
        yield started


@pytest.fixture(scope="module")
def ann(running: Gateway) -> Client:
    return Client(running.port, running.key)


@pytest.fixture(scope="module")
def bob(running: Gateway) -> Client:
    return Client(running.port, key_of(running.home, "bob"))


def done(client: Client, path: str):
    """What is at a path, once it is not in progress."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, answer = client.ask("GET", path)
        assert status == 200, answer
        if answer["status"] != "in_progress":
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{path} stayed in progress")


def filled(client: Client, *texts: str, **fields: object) -> tuple[str, list[str]]:
    """A store with files of these texts, and their ids."""
    files = [client.store(text.encode(), "assistants", f"{number}.txt") for number, text in enumerate(texts)]
    status, store = client.ask("POST", STORES, {"name": "s", "file_ids": files, **fields})
    assert status == 200, store
    done(client, f"{STORES}/{store['id']}")
    return store["id"], files


def test_a_store_from_its_making_to_its_end(ann: Client):
    """A store is made, described, listed, changed and deleted, in OpenAI's shapes."""
    asked = {
        "name": "notes",
        "description": "Mine",
        "metadata": {"team": "a"},
        "expires_after": {"anchor": "last_active_at", "days": 7},
    }
    status, made = ann.ask("POST", STORES, asked)
    assert status == 200
    assert made["id"].startswith("vs_")
    assert made["expires_at"] == made["last_active_at"] + 7 * 86400
    expected = asked | {"object": "vector_store", "status": "completed", "usage_bytes": 0, "embedding_model": "echo"}
    assert {key: made[key] for key in expected} == expected
    assert set(made["file_counts"].values()) == {0}
    assert ann.ask("GET", f"{STORES}/{made['id']}") == (200, made)
    assert made["id"] in [store["id"] for store in ann.ask("GET", f"{STORES}?limit=100")[1]["data"]]
    changed = ann.ask("POST", f"{STORES}/{made['id']}", {"name": "more", "expires_after": None, "metadata": None})[1]
    assert (changed["name"], changed["expires_at"], changed["metadata"], changed["description"]) == (
        "more",
        None,
        {},
        "Mine",
    )
    gone = {"id": made["id"], "object": "vector_store.deleted", "deleted": True}
    assert ann.ask("DELETE", f"{STORES}/{made['id']}") == (200, gone)
    assert ann.ask("GET", f"{STORES}/{made['id']}")[0] == 404


def test_pages_of_stores(ann: Client):
    """Lists are cut into pages that join without gap, forwards and backwards, in both orders."""
    names = [ann.ask("POST", STORES, {"name": f"page {number}"})[1]["id"] for number in range(5)]
    status, first = ann.ask("GET", f"{STORES}?limit=2")
    assert (status, first["has_more"], [one["id"] for one in first["data"]]) == (200, True, names[:-3:-1])
    second = ann.ask("GET", f"{STORES}?limit=2&after={first['last_id']}")[1]
    assert [one["id"] for one in second["data"]] == [names[2], names[1]]
    back = ann.ask("GET", f"{STORES}?limit=2&order=asc&after={names[3]}")[1]
    assert [one["id"] for one in back["data"]] == [names[4]]
    before = ann.ask("GET", f"{STORES}?limit=1&order=asc&before={names[1]}")[1]
    assert len(before["data"]) == 1
    for query in ("limit=0", "limit=101", "limit=x", "order=up"):
        assert ann.ask("GET", f"{STORES}?{query}")[0] == 400


def test_files_of_a_store(ann: Client):
    """Files are attached with attributes and a strategy, listed by state, changed, read back and taken out."""
    store, _ = filled(ann, "first")
    text = "A paragraph of words. " * 60
    file = ann.store(text.encode(), "assistants", "words.md")
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    body = {"file_id": file, "attributes": {"year": 2024, "good": True, "by": "ann"}, "chunking_strategy": strategy}
    status, made = ann.ask("POST", f"{STORES}/{store}/files", body)
    assert (status, made["object"], made["vector_store_id"]) == (200, "vector_store.file", store)
    path = f"{STORES}/{store}/files/{file}"
    ready = done(ann, path)
    assert (ready["status"], ready["attributes"], ready["chunking_strategy"]) == (
        "completed",
        body["attributes"],
        strategy,
    )
    assert ready["usage_bytes"] > len(text)
    assert ready["last_error"] is None
    found = ann.ask("GET", f"{STORES}/{store}/files?filter=completed&limit=1")[1]
    assert (found["has_more"], found["data"][0]["id"]) == (True, file)
    assert ann.ask("GET", f"{STORES}/{store}/files?filter=completed&after={file}")[1]["has_more"] is False
    assert ann.ask("GET", f"{STORES}/{store}/files?filter=failed")[1]["data"] == []
    assert ann.ask("GET", f"{STORES}/{store}/files?filter=odd")[0] == 400
    assert ann.ask("POST", path, {"attributes": {"year": 1999}})[1]["attributes"] == {"year": 1999}
    content = ann.ask("GET", f"{path}/content")[1]
    assert "".join(piece["text"] for piece in content["data"]) == text
    assert ann.ask("DELETE", path) == (200, {"id": file, "object": "vector_store.file.deleted", "deleted": True})
    assert ann.ask("GET", path)[0] == 404
    assert ann.ask("GET", f"/v1/files/{file}")[0] == 200


def test_a_search(ann: Client):
    """A search gives chunks with scores, best first, within limit, threshold and filters."""
    store, files = filled(ann, "cats purr and sleep", "dogs bark", "fish swim")
    for number, file in enumerate(files):
        ann.ask("POST", f"{STORES}/{store}/files/{file}", {"attributes": {"rank": number}})
    status, page = ann.ask("POST", f"{STORES}/{store}/search", {"query": "do dogs bark", "rewrite_query": True})
    assert (status, page["object"], page["search_query"]) == (
        200,
        "vector_store.search_results.page",
        ["do dogs bark"],
    )
    scores = [hit["score"] for hit in page["data"]]
    assert scores == sorted(scores, reverse=True)
    weights = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
    best = ann.ask("POST", f"{STORES}/{store}/search", {"query": ["do dogs bark"], "ranking_options": weights})[1]
    (hit,) = best["data"]
    assert (hit["file_id"], hit["filename"], hit["attributes"], hit["content"]) == (
        files[1],
        "1.txt",
        {"rank": 1},
        [{"type": "text", "text": "dogs bark"}],
    )
    late = {
        "type": "and",
        "filters": [{"type": "gte", "key": "rank", "value": 1}, {"type": "ne", "key": "rank", "value": 1}],
    }
    filtered = ann.ask("POST", f"{STORES}/{store}/search", {"query": "dogs bark", "filters": late})[1]["data"]
    assert [one["file_id"] for one in filtered] == [files[2]]
    exact = {"query": "fish swim", "ranking_options": {"ranker": "none", "score_threshold": 0.999}}
    assert [one["file_id"] for one in ann.ask("POST", f"{STORES}/{store}/search", exact)[1]["data"]] == [files[2]]
    assert len(ann.ask("POST", f"{STORES}/{store}/search", {"query": "x", "max_num_results": 1})[1]["data"]) == 1


def test_a_batch_of_files(ann: Client):
    """A batch attaches many files, counts them by state, and tells why one failed."""
    store, _ = filled(ann)
    good, bad = ann.store(b"good", "assistants", "a.txt"), ann.store(b"%PDF-1.7", "assistants", "b.pdf")
    body = {"files": [{"file_id": good, "attributes": {"a": 1}}, {"file_id": bad}]}
    status, made = ann.ask("POST", f"{STORES}/{store}/file_batches", body)
    assert (status, made["object"], made["file_counts"]["total"]) == (200, "vector_store.files_batch", 2)
    batch = done(ann, f"{STORES}/{store}/file_batches/{made['id']}")
    assert batch["status"] == "completed"
    assert (batch["file_counts"]["completed"], batch["file_counts"]["failed"]) == (1, 1)
    rows = {row["id"]: row for row in ann.ask("GET", f"{STORES}/{store}/file_batches/{made['id']}/files")[1]["data"]}
    assert rows[good]["attributes"] == {"a": 1}
    assert rows[bad]["last_error"]["code"] == "unsupported_file"
    assert "PDF" in rows[bad]["last_error"]["message"]
    cancelled = ann.ask("POST", f"{STORES}/{store}/file_batches/{made['id']}/cancel")
    assert (cancelled[0], cancelled[1]["status"]) == (200, "completed")


def test_what_is_wrong_is_named(ann: Client):
    """A field of a wrong kind, and a thing that is not there, is an error that names it; no half-made store stays."""
    store, _ = filled(ann)
    before = len(ann.ask("GET", f"{STORES}?limit=100")[1]["data"])
    large = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}}
    deep: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(9):
        deep = {"type": "and", "filters": [deep]}
    cases = [
        (STORES, {"name": 1}, 400, "name"),
        (STORES, {"metadata": {"a": 1}}, 400, "metadata.a"),
        (STORES, {"embedding_model": "nothing"}, 404, "embedding_model"),
        (STORES, {"file_ids": ["file-nothing"]}, 404, "file_id"),
        (STORES, {"expires_after": {"anchor": "created_at", "days": 1}}, 400, "expires_after.anchor"),
        (f"{STORES}/{store}/files", {}, 400, "file_id"),
        (f"{STORES}/{store}/files", {"file_id": "x", "chunking_strategy": large}, 400, "chunking_strategy.static"),
        (f"{STORES}/{store}/file_batches", {"file_ids": []}, 400, "file_ids"),
        (f"{STORES}/{store}/search", {"query": ""}, 400, "query"),
        (f"{STORES}/{store}/search", {"query": "x", "max_num_results": 51}, 400, "max_num_results"),
        (f"{STORES}/{store}/search", {"query": "x", "filters": {"type": "like"}}, 400, "filters.type"),
        (f"{STORES}/{store}/search", {"query": "x", "filters": {"type": "eq", "key": "a"}}, 400, "filters.value"),
        (f"{STORES}/{store}/search", {"query": "x", "filters": deep}, 400, "filters"),
        (f"{STORES}/vs_nothing/search", {"query": "x"}, 404, "id"),
    ]
    for path, body, status, param in cases:
        answer = ann.ask("POST", path, body)
        assert (answer[0], answer[1]["error"]["param"]) == (status, param), (path, body, answer)
    assert len(ann.ask("GET", f"{STORES}?limit=100")[1]["data"]) == before


def test_stores_of_another_owner_do_not_exist(ann: Client, bob: Client):
    """Every route with an id of another owner's answers 404, and lists hold none of them."""
    store, (file,) = filled(ann, "text")
    batch = ann.ask("POST", f"{STORES}/{store}/file_batches", {"file_ids": [ann.store(b"more", "assistants")]})[1]["id"]
    done(ann, f"{STORES}/{store}/file_batches/{batch}")
    one, files, batches = f"{STORES}/{store}", f"{STORES}/{store}/files", f"{STORES}/{store}/file_batches"
    asked = [
        ("GET", one, None),
        ("POST", one, {"name": "stolen"}),
        ("DELETE", one, None),
        ("POST", f"{one}/search", {"query": "text"}),
        ("POST", files, {"file_id": file}),
        ("GET", files, None),
        ("GET", f"{files}/{file}", None),
        ("POST", f"{files}/{file}", {"attributes": {}}),
        ("DELETE", f"{files}/{file}", None),
        ("GET", f"{files}/{file}/content", None),
        ("POST", batches, {"file_ids": [file]}),
        ("GET", f"{batches}/{batch}", None),
        ("POST", f"{batches}/{batch}/cancel", None),
        ("GET", f"{batches}/{batch}/files", None),
    ]
    for method, path, body in asked:
        assert bob.ask(method, path, body)[0] == 404, (method, path)
    assert bob.ask("GET", STORES)[1]["data"] == []
    theirs, _ = filled(bob)
    assert bob.ask("POST", f"{STORES}/{theirs}/files", {"file_id": file})[0] == 404
    assert bob.ask("GET", f"{STORES}/{theirs}/files/{file}")[0] == 404
    assert bob.ask("GET", f"{STORES}/{theirs}/file_batches/{batch}")[0] == 404
    assert ann.ask("GET", f"{files}/{file}")[1]["status"] == "completed"


@pytest.mark.slow
def test_a_killed_server_goes_on_reading(tmp_path: Path):
    """A server that is killed while it reads files reads the rest after its next start, each chunk once."""
    write_echo(tmp_path)
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 90 for number in range(900))
    with gateway(tmp_path) as first:
        client = Client(first.port, first.key)
        file = client.store(text.encode(), "assistants", "long.txt")
        rule = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
        store = client.ask("POST", STORES, {"file_ids": [file], "chunking_strategy": rule})[1]["id"]
        deadline = time.monotonic() + 60
        while not 0 < rows(tmp_path, store) < 700:
            assert time.monotonic() < deadline
        first.process.kill()
        first.process.wait(30)
    before = rows(tmp_path, store)
    with gateway(tmp_path) as second:
        client = Client(second.port, second.key)
        ready = done(client, f"{STORES}/{store}/files/{file}")
        assert ready["status"] == "completed"
        assert rows(tmp_path, store) > before
        words = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
        asked = {"query": "Paragraph 899", "max_num_results": 1, "ranking_options": words}
        found = client.ask("POST", f"{STORES}/{store}/search", asked)[1]
        assert "Paragraph 899." in found["data"][0]["content"][0]["text"]
    numbers = rows(tmp_path, store, "max(number) + 1")
    assert rows(tmp_path, store) == rows(tmp_path, store, "count(distinct number)") == numbers


def rows(home: Path, store: str, what: str = "count(*)") -> int:
    """What the database says of the chunks of a store."""
    import sqlite3

    connection = sqlite3.connect(home / "state.db", timeout=30)
    try:
        query = f"select {what} from chunks where store = ?"  # noqa: S608 - what a test asks, and no user
        return connection.execute(query, (store,)).fetchone()[0]
    finally:
        connection.close()


def test_texts_are_in_no_log(running: Gateway, ann: Client):
    """Neither what is stored nor what is searched for is in the log."""
    store, _ = filled(ann, "canary-in-a-file")
    ann.ask("POST", f"{STORES}/{store}/search", {"query": "canary-in-a-query"})
    assert "canary-in" not in running.log.read_text()
    assert json.dumps(store)[1:-1] not in running.log.read_text()
