"""The files, uploads, batches and stored completions of the real `openai` library against a running server.

OPENAI_BASE_URL, OPENAI_API_KEY: where and as whom. COMPAT_MODEL: a model for chat. Prints `ok NAME` for every check;
ends with an exception at the first that fails.
"""

import asyncio
import io
import json
import os
import time

import openai

MODEL = os.environ["COMPAT_MODEL"]
HI = [{"role": "user", "content": "hello there"}]


def lines(count):
    body = {"model": MODEL, "messages": HI}
    asked = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    return b"".join(json.dumps({"custom_id": f"r{number}", **asked}).encode() + b"\n" for number in range(count))


def refused(kind, call, *given, **named):
    """The code of the error of this kind that a call must raise."""
    try:
        call(*given, **named)
    except kind as error:
        return error.code
    raise AssertionError(f"{call.__qualname__} was not refused")


def check_files(client):
    """A file is stored, described, listed, read and deleted."""
    data = os.urandom(100_000)
    made = client.files.create(
        file=("notes.bin", data), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 7200}
    )
    assert made.id.startswith("file-")
    assert (made.bytes, made.filename, made.purpose, made.status) == (100_000, "notes.bin", "user_data", "processed")
    assert made.expires_at == made.created_at + 7200
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == data
    assert client.files.wait_for_processing(made.id).status == "processed"
    assert client.files.delete(made.id).deleted
    assert refused(openai.NotFoundError, client.files.retrieve, made.id) == "not_found"


def check_file_pages(client):
    """The list pages by itself, in either order, and by purpose."""
    made = [client.files.create(file=io.BytesIO(b"x"), purpose="assistants").id for _ in range(5)]
    listed = [file.id for file in client.files.list(purpose="assistants", limit=2)]
    assert listed == made[::-1]
    assert [file.id for file in client.files.list(purpose="assistants", limit=3, order="asc")] == made
    for identifier in made:
        client.files.delete(identifier)


def check_uploads(client):
    """An upload is made of parts, and a cancelled one takes none."""
    upload = client.uploads.create(bytes=11, filename="big.txt", mime_type="text/plain", purpose="user_data")
    parts = [client.uploads.parts.create(upload.id, data=data) for data in (b"hello ", b"there")]
    done = client.uploads.complete(upload.id, part_ids=[part.id for part in parts])
    assert done.status == "completed"
    assert client.files.content(done.file.id).read() == b"hello there"
    other = client.uploads.create(bytes=1, filename="a", mime_type="text/plain", purpose="user_data")
    assert client.uploads.cancel(other.id).status == "cancelled"
    assert refused(openai.ConflictError, client.uploads.parts.create, other.id, data=b"x") == "conflict"


def check_upload_in_chunks(client):
    """The library's helper cuts a file into parts by itself."""
    data = os.urandom(300_000)
    done = client.uploads.upload_file_chunked(
        file=data, filename="a.bin", bytes=len(data), mime_type="text/plain", purpose="user_data", part_size=100_000
    )
    assert client.files.content(done.file.id).read() == data


def check_batches(client):
    """A batch runs to its end; its results are files."""
    file = client.files.create(file=("in.jsonl", lines(20)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"job": "nightly"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert batch.status in {"validating", "in_progress", "finalizing", "completed"}
    ended = until(client, batch.id)
    assert (ended.status, ended.request_counts.completed, ended.request_counts.total) == ("completed", 20, 20)
    assert ended.metadata == {"job": "nightly"}
    assert ended.errors is None
    assert ended.error_file_id is None
    told = [json.loads(line) for line in client.files.content(ended.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in told] == [f"r{number}" for number in range(20)]
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] for line in told)
    output = client.files.retrieve(ended.output_file_id)
    assert (output.purpose, output.expires_at - output.created_at) == ("batch_output", 3600)
    assert batch.id in [each.id for each in client.batches.list(limit=1)]


def check_batch_failures(client):
    """A batch of a bad file fails with the lines at fault; one that has ended cannot be cancelled."""
    file = client.files.create(file=("in.jsonl", lines(1) * 2), purpose="batch")
    asked = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ended = until(client, client.batches.create(input_file_id=file.id, **asked).id)
    assert ended.status == "failed"
    assert [(error.line, error.code) for error in ended.errors.data] == [(2, "duplicate_custom_id")]
    assert refused(openai.ConflictError, client.batches.cancel, ended.id) == "conflict"
    assert refused(openai.NotFoundError, client.batches.create, input_file_id="file-none", **asked) == "not_found"


def until(client, identifier):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(identifier)
        if batch.status in {"completed", "failed", "expired", "cancelled"}:
            return batch
        time.sleep(0.05)
    raise AssertionError(f"the batch stayed {batch}")


def check_stored_completions(client):
    """An answer with `store` is kept with its metadata and messages, listed, changed and deleted."""
    made = client.chat.completions.create(model=MODEL, messages=HI, store=True, metadata={"of": "compat", "n": "1"})
    kept = client.chat.completions.retrieve(made.id)
    assert kept.choices == made.choices
    assert kept.usage == made.usage
    assert kept.metadata == {"of": "compat", "n": "1"}
    assert made.id in [each.id for each in client.chat.completions.list(metadata={"n": "1"}, limit=1)]
    assert made.id not in [each.id for each in client.chat.completions.list(metadata={"n": "2"})]
    assert made.id in [each.id for each in client.chat.completions.list(model=made.model)]
    assert [each.id for each in client.chat.completions.list(model="none")] == []
    messages = client.chat.completions.messages.list(made.id).data
    assert [(each.role, each.content) for each in messages] == [("user", "hello there")]
    assert client.chat.completions.update(made.id, metadata={"n": "2"}).metadata == {"n": "2"}
    assert made.id in [each.id for each in client.chat.completions.list(metadata={"n": "2"})]
    assert client.chat.completions.delete(made.id).deleted
    assert refused(openai.NotFoundError, client.chat.completions.retrieve, made.id) == "not_found"


def check_stored_streams(client):
    """A streamed answer with `store` is kept once it has ended; without `store` nothing is."""
    stream = client.chat.completions.create(model=MODEL, messages=HI, store=True, stream=True, n=2)
    chunks = list(stream)
    kept = client.chat.completions.retrieve(chunks[0].id)
    said = {
        index: "".join(
            choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == index
        )
        for index in (0, 1)
    }
    assert {choice.index: choice.message.content for choice in kept.choices} == said
    client.chat.completions.delete(kept.id)
    other = client.chat.completions.create(model=MODEL, messages=HI)
    assert refused(openai.NotFoundError, client.chat.completions.retrieve, other.id) == "not_found"


async def check_async_client(client):
    """The asynchronous client stores and reads a file, and pages through them."""
    async with openai.AsyncOpenAI() as asking:
        made = await asking.files.create(file=("a", b"data"), purpose="user_data")
        assert (await asking.files.content(made.id)).content == b"data"
        assert made.id in [file.id async for file in asking.files.list(limit=1)]
        await asking.files.delete(made.id)


def main():
    client = openai.OpenAI()
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            answer = check(client)
            if answer is not None:
                asyncio.run(answer)
            print("ok", name.removeprefix("check_"), flush=True)
    client.close()


main()
