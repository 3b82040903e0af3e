"""The real `ollama` library against a running server; run inside an environment that has nothing else.

OLLAMA_HOST, OLLAMA_API_KEY: where and as whom. COMPAT_MODEL: a model for chat; COMPAT_EMBED: one for embeddings.
COMPAT_GGUF: the path of a GGUF file that this server has not; without it, blobs are not checked.
Prints `ok NAME` for every check; ends with an exception at the first that fails.
"""

import asyncio
import json
import math
import os
from datetime import UTC, datetime

import ollama

MODEL = os.environ["COMPAT_MODEL"]
EMBED = os.environ.get("COMPAT_EMBED", MODEL)
GGUF = os.environ.get("COMPAT_GGUF", "")
HI = [{"role": "user", "content": "What is the capital of France?"}]
CITY = [{"role": "user", "content": '{"city": "Paris", "size": 2}'}]
SEEN = {"temperature": 0, "seed": 1, "num_predict": 24}
ROOMY = {**SEEN, "num_predict": 300}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["city", "size"],
    "additionalProperties": False,
}


def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: Which city.

    Returns:
        The weather.
    """
    return f"sunny in {city}"


def failing(status, call):
    found = None
    try:
        call()
    except ollama.ResponseError as error:
        found = error
    return told(found, status)


def told(error, status):
    """The text of an error of this status, as a person reads it."""
    assert error is not None, "no ResponseError was raised"
    assert error.status_code == status, (error.status_code, error.error)
    assert isinstance(error.error, str)
    assert error.error
    assert not error.error.startswith("{"), error.error
    return error.error


def check_list(client):
    """The list holds the model under the very name it is asked by."""
    rows = {row.model: row for row in client.list().models}
    assert MODEL in rows, rows
    row = rows[MODEL]
    assert len(row.digest) == 64
    assert row.modified_at < datetime.now(UTC)
    assert row.details.family


def check_show(client):
    """Showing a model tells its architecture, its context and what it can do."""
    shown = client.show(MODEL)
    architecture = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{architecture}.context_length"] > 0
    assert {"completion", "tools"} <= set(shown.capabilities)
    assert "embedding" in client.show(EMBED).capabilities
    assert shown.modelfile.startswith(f"FROM {MODEL}\n")
    assert shown.modified_at.tzinfo is not None


def check_chat(client):
    """A whole answer has text, a reason, counts and times in nanoseconds."""
    answer = client.chat(MODEL, HI, options=SEEN)
    assert answer.model == MODEL
    assert answer.message.role == "assistant"
    assert answer.message.content
    assert (answer.done, answer.done_reason in {"stop", "length"}) == (True, True)
    assert answer.prompt_eval_count > 0
    assert answer.eval_count > 0
    assert answer.total_duration > 1000
    assert answer.total_duration >= answer.load_duration
    assert min(answer.prompt_eval_duration, answer.eval_duration, answer.load_duration) > 0


def check_stream(client):
    """A stream adds up to the whole answer and ends with its figures."""
    whole = client.chat(MODEL, HI, options=SEEN)
    parts = list(client.chat(MODEL, HI, options=SEEN, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == whole.done_reason
    assert parts[-1].eval_count == whole.eval_count


def check_latest(client):
    """A name means the same with `:latest` behind it."""
    answer = client.chat(f"{MODEL}:latest", HI, options=SEEN)
    assert answer.message.content == client.chat(MODEL, HI, options=SEEN).message.content


def check_tools(client):
    """A Python function is a tool that may be called; a conversation with its result goes on."""
    answer = client.chat(MODEL, HI, tools=[weather], options=ROOMY)
    assert answer.message.content or answer.message.tool_calls
    call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    history = [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
    ]
    assert client.chat(MODEL, history, tools=[weather], options=SEEN).done


def forced(client, *, stream):
    """What the library cannot say is sent by its own connection: a call is required."""
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}},
        },
    }
    body = {"model": MODEL, "messages": HI, "tools": [tool], "tool_choice": "required", "options": ROOMY}
    answer = client._client.post("/api/chat", json={**body, "stream": stream})
    answer.raise_for_status()
    parts = [ollama.ChatResponse(**json.loads(line)) for line in answer.text.splitlines()]
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    assert parts[-1].done
    return [(call.function.name, type(call.function.arguments)) for call in calls]


def check_forced(client):
    """A required tool is called, with an object of arguments, whole and streamed."""
    for stream in (False, True):
        calls = forced(client, stream=stream)
        assert calls
        assert set(calls) == {("weather", dict)}


def check_schema(client):
    """A schema holds, whole and streamed; "json" gives an object."""
    answer = client.chat(MODEL, CITY, format=SCHEMA, options=ROOMY)
    parts = client.chat(MODEL, CITY, format=SCHEMA, options=ROOMY, stream=True)
    for text in (answer.message.content, "".join(part.message.content for part in parts)):
        found = json.loads(text)
        assert isinstance(found["size"], int)
        assert len(found["city"]) <= 12
    loose = client.chat(MODEL, CITY, format="json", options=ROOMY)
    assert loose.done_reason == "length" or isinstance(json.loads(loose.message.content), dict)


def check_logprobs(client):
    """Log-probabilities are there for every token, with alternatives, all finite."""
    answer = client.chat(MODEL, HI, options=SEEN, logprobs=True, top_logprobs=1)
    assert "".join(entry.token for entry in answer.logprobs).startswith(answer.message.content)
    for entry in answer.logprobs:
        assert math.isfinite(entry.logprob)
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 1
    parts = client.chat(MODEL, HI, options=SEEN, logprobs=True, top_logprobs=1, stream=True)
    assert sum(len(part.logprobs or ()) for part in parts) == len(answer.logprobs)


def check_generate(client):
    """A prompt is answered, whole and streamed, and gives the ids to go on from."""
    first = client.generate(MODEL, "One two three", options=SEEN)
    assert first.response
    assert len(first.context) >= first.prompt_eval_count
    parts = list(client.generate(MODEL, "One two three", options=SEEN, stream=True))
    assert "".join(part.response for part in parts) == first.response
    assert list(parts[-1].context) == list(first.context)
    second = client.generate(MODEL, "four", options=SEEN, context=first.context)
    assert list(second.context[: len(first.context)]) == list(first.context)
    assert second.prompt_eval_count > len(first.context)


def check_raw(client):
    """A raw prompt goes past the template: it takes fewer tokens, and no context comes back."""
    raw = client.generate(MODEL, "One two three", raw=True, options=SEEN)
    assert raw.done
    assert raw.context is None
    assert raw.prompt_eval_count <= client.generate(MODEL, "One two three", options=SEEN).prompt_eval_count


def check_loading(client):
    """An empty prompt loads the model; kept for no time it is unloaded; `ps` tells both."""
    loaded = client.generate(MODEL, "", keep_alive="5m")
    assert loaded.done_reason == "load"
    (row,) = [row for row in client.ps().models if row.model == MODEL]
    assert row.expires_at > datetime.now(UTC)
    assert row.context_length > 0
    assert (row.size_vram, row.size > 0) == (0, True)
    assert client.generate(MODEL, "", keep_alive=0).done_reason == "unload"
    assert MODEL not in [row.model for row in client.ps().models]
    client.generate(MODEL, keep_alive=-1)
    (row,) = [row for row in client.ps().models if row.model == MODEL]
    assert row.expires_at.year > 2300
    client.chat(MODEL, HI, options=SEEN, keep_alive="10m")


def check_embed(client):
    """Each text has its vector, of length one; the older route gives the same direction."""
    answer = client.embed(EMBED, ["a cat", "a dog"])
    assert len(answer.embeddings) == 2
    assert math.isclose(sum(value * value for value in answer.embeddings[0]), 1, abs_tol=1e-3)
    assert answer.prompt_eval_count > 0
    (single,) = client.embed(EMBED, "a cat").embeddings
    assert all(math.isclose(one, other, abs_tol=1e-3) for one, other in zip(single, answer.embeddings[0], strict=True))
    assert len(client.embed(EMBED, "a cat", dimensions=4).embeddings[0]) == 4
    old = client.embeddings(EMBED, "a cat").embedding
    length = math.sqrt(sum(value * value for value in old))
    assert all(math.isclose(one / length, other, abs_tol=1e-2) for one, other in zip(old, single, strict=True))


def check_pull(client):
    """Pulling what is installed succeeds at once; what cannot be resolved is an error."""
    assert client.pull(MODEL).status == "success"
    steps = [step.status for step in client.pull(f"{MODEL}:latest", stream=True)]
    assert (steps[0], steps[-1]) == ("pulling manifest", "success")
    assert "not installed" in failing(404, lambda: client.pull("no-such-model"))
    assert "not installed" in failing(404, lambda: list(client.pull("no-such-model", stream=True)))


def check_push(client):
    """Pushing is refused with a reason."""
    assert "push" in failing(400, lambda: client.push(MODEL))


def check_copies(client):
    """A copy answers like its source and is removed without it."""
    assert client.copy(MODEL, "compat/copy").status == "success"
    assert "compat/copy" in [row.model for row in client.list().models]
    same = [client.chat(name, HI, options=SEEN).message.content for name in (MODEL, "compat/copy")]
    assert same[0] == same[1]
    assert client.delete("compat/copy").status == "success"
    assert "compat/copy" not in [row.model for row in client.list().models]
    assert client.chat(MODEL, HI, options=SEEN).done
    failing(404, lambda: client.copy("no-such-model", "compat/other"))
    failing(404, lambda: client.delete("no-such-model"))


def check_create(client):
    """A variant has its own system message and parameters; making it again replaces it."""
    given = {"temperature": 0, "seed": 1, "num_predict": 7, "stop": ["zzz"]}
    steps = list(client.create("compat/variant", from_=MODEL, system="Be brief.", parameters=given, stream=True))
    assert steps[-1].status == "success"
    shown = client.show("compat/variant")
    assert 'SYSTEM """Be brief."""' in shown.modelfile
    assert "num_predict" in shown.parameters
    assert client.chat("compat/variant", HI).eval_count <= 7
    assert client.create("compat/variant", from_="compat/variant", system="Be kind.").status == "success"
    again = client.show("compat/variant")
    assert 'SYSTEM """Be kind."""' in again.modelfile
    assert "num_predict" in again.parameters
    client.delete("compat/variant")
    failing(400, lambda: client.create("compat/variant"))
    failing(404, lambda: client.create("compat/variant", from_="no-such-model"))
    assert "Go" in failing(400, lambda: client.create("compat/variant", from_=MODEL, template="{{ .Prompt }}"))


def check_blobs(client):
    """An uploaded file becomes a model that is there and can be removed."""
    digest = client.create_blob(GGUF)
    assert client._client.head(f"/api/blobs/{digest}").status_code == 200
    assert client.create_blob(GGUF) == digest
    steps = list(client.create("compat/blob", files={"model.gguf": digest}, stream=True))
    assert f"using layer {digest}" in [step.status for step in steps]
    assert client.show("compat/blob").details.format == "gguf"
    client.delete("compat/blob")
    assert client._client.head(f"/api/blobs/{digest}").status_code == 404
    wrong = f"sha256:{'0' * 64}"
    failing(400, lambda: client._request_raw("POST", f"/api/blobs/{wrong}", content=b"other bytes"))
    failing(400, lambda: client.create("compat/blob", files={"model.gguf": wrong}))


def check_errors(client):
    """Errors are raised with their status and a plain text."""
    assert "no-such-model" in failing(404, lambda: client.chat("no-such-model", HI))
    assert "no-such-model" in failing(404, lambda: list(client.chat("no-such-model", HI, stream=True)))
    assert "no-such-model" in failing(404, lambda: client.show("no-such-model"))
    assert "options.temperature" in failing(400, lambda: client.chat(MODEL, HI, options={"temperature": "hot"}))
    assert "images.0" in failing(400, lambda: client.generate(MODEL, "x", images=[b"no picture"]))
    stranger = ollama.Client(headers={"authorization": "Bearer sk-wrong"})
    assert "API key" in failing(401, stranger.list)
    stranger.close()


async def check_async(client):
    """The asynchronous client chats, streams, embeds and sees errors."""
    async with ollama.AsyncClient() as own:
        await use(own)


async def use(client):
    answer = await client.chat(MODEL, HI, options=SEEN)
    text = ""
    async for part in await client.chat(MODEL, HI, options=SEEN, stream=True):
        text += part.message.content
    assert text == answer.message.content
    assert (await client.generate(MODEL, "One two", options=SEEN)).response
    assert len((await client.embed(EMBED, ["a", "b"])).embeddings) == 2
    assert MODEL in [row.model for row in (await client.list()).models]
    found = None
    try:
        await client.show("no-such-model")
    except ollama.ResponseError as error:
        found = error
    told(found, 404)
    if GGUF:  # sent in chunks, whose number is not known before
        digest = await client.create_blob(GGUF)
        assert (await client.create("compat/async", files={"model.gguf": digest})).status == "success"
        assert (await client.delete("compat/async")).status == "success"


def main():
    with ollama.Client() as client:
        run(client)


def run(client):
    for name, check in list(globals().items()):
        if not name.startswith("check_") or (name == "check_blobs" and not GGUF):
            continue
        if asyncio.iscoroutinefunction(check):
            asyncio.run(check(client))
        else:
            check(client)
        print(f"ok {name.removeprefix('check_')}", flush=True)


main()
