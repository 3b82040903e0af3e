"""The vector stores of the real `openai` library against a running server; run in an environment of its own.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. Prints `ok NAME` for every check; ends with an exception at the
first that fails.
"""

import asyncio
import io

import openai

CATS = b"Cats purr when they are content.\n\nThey sleep for most of the day."
DOGS = b"Dogs bark at strangers.\n\nThey like long walks."


def filled(client):
    """A store with two files that are read."""
    store = client.vector_stores.create(name="pets", metadata={"kind": "animals"})
    ids = []
    for name, data in (("cats.md", CATS), ("dogs.md", DOGS)):
        file = client.files.create(file=(name, data), purpose="assistants")
        ready = client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, attributes={"animal": name.split(".")[0]}, poll_interval_ms=50
        )
        assert ready.status == "completed", ready
        ids.append(file.id)
    return store.id, ids


def check_stores(client):
    """Stores are made, retrieved, changed, listed page by page and deleted."""
    made = [client.vector_stores.create(name=f"s{number}") for number in range(3)]
    expiring = client.vector_stores.update(made[0].id, expires_after={"anchor": "last_active_at", "days": 2})
    assert expiring.expires_at == expiring.last_active_at + 2 * 86400
    assert client.vector_stores.update(made[0].id, expires_after=None, name="new").expires_at is None
    assert client.vector_stores.retrieve(made[0].id).name == "new"
    listed = [store.id for store in client.vector_stores.list(limit=2)]
    assert [identifier for identifier in listed if identifier in {store.id for store in made}] == [
        store.id for store in reversed(made)
    ]
    for store in made:
        assert client.vector_stores.delete(store.id).deleted is True
    try:
        client.vector_stores.retrieve(made[0].id)
    except openai.NotFoundError:
        return
    raise AssertionError("a deleted store was there")


def check_files(client):
    """Files are attached, polled, listed, described, changed, read and taken out."""
    store, (cats, dogs) = filled(client)
    files = client.vector_stores.files
    assert {file.id for file in files.list(store, filter="completed")} == {cats, dogs}
    assert files.update(cats, vector_store_id=store, attributes={"age": 3}).attributes == {"age": 3}
    assert files.retrieve(cats, vector_store_id=store).chunking_strategy.type == "static"
    text = "".join(piece.text for piece in files.content(dogs, vector_store_id=store))
    assert text.encode() == DOGS
    assert files.delete(cats, vector_store_id=store).deleted is True
    assert client.vector_stores.retrieve(store).file_counts.total == 1
    assert client.files.retrieve(cats).id == cats


def check_upload_and_poll(client):
    """A file that is not read fails with a reason, and one with a strategy of its own is cut by it."""
    store = client.vector_stores.create().id
    bad = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.pdf", b"%PDF-1.7"))
    assert (bad.status, bad.last_error.code) == ("failed", "unsupported_file")
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}}
    good = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=io.BytesIO(b"word " * 400), chunking_strategy=strategy
    )
    assert good.status == "completed"
    assert good.chunking_strategy.static.max_chunk_size_tokens == 100


def check_batches(client):
    """A batch of files is made, polled, listed and cancelled."""
    store = client.vector_stores.create().id
    batches = client.vector_stores.file_batches
    done = batches.upload_and_poll(store, files=[("a.txt", CATS), ("b.txt", DOGS)])
    assert (done.status, done.file_counts.completed) == ("completed", 2)
    assert len(list(batches.list_files(done.id, vector_store_id=store))) == 2
    assert batches.cancel(done.id, vector_store_id=store).status == "completed"
    assert batches.retrieve(done.id, vector_store_id=store).id == done.id


def check_search(client):
    """A search finds chunks with scores, filtered by attributes."""
    store, (_, dogs) = filled(client)
    found = client.vector_stores.search(
        store,
        query=["Who barks at strangers?"],
        max_num_results=5,
        filters={"type": "or", "filters": [{"type": "eq", "key": "animal", "value": "dogs"}]},
        ranking_options={"ranker": "auto", "score_threshold": 0.1},
        rewrite_query=True,
    )
    (hit,) = found.data
    assert (hit.file_id, hit.filename, hit.attributes) == (dogs, "dogs.md", {"animal": "dogs"})
    assert 0 < hit.score <= 1
    assert hit.content[0].text.encode() == DOGS
    nothing = client.vector_stores.search(store, query="x", filters={"type": "eq", "key": "animal", "value": "bird"})
    assert nothing.data == []


async def check_async(client):
    """The asynchronous client does the same."""
    async with openai.AsyncOpenAI() as other:
        store = await other.vector_stores.create(name="async")
        file = await other.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("a.txt", CATS))
        assert file.status == "completed"
        page = await other.vector_stores.search(store.id, query="cats")
        assert page.data[0].content[0].text.encode() == CATS


def main():
    with openai.OpenAI() as client:
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                outcome = check(client)
                if asyncio.iscoroutine(outcome):
                    asyncio.run(outcome)
                print(f"ok {name.removeprefix('check_')}", flush=True)


if __name__ == "__main__":
    main()
