"""Ollama's API on the real gateway, over real sockets: calls of known products, failures, uploads, the second port."""

import hashlib
import http.client
import json
import os
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import Gateway, gateway, write_echo
from ggufs import LLAMA, build
from sse import Stream

HI = [{"role": "user", "content": "to be or not"}]
CHAT = {"model": "echo", "messages": HI, "stream": False}
TOOL = {
    "type": "function",
    "function": {
        "name": "light",
        "description": "Turns a light on.",
        "parameters": {"type": "object", "properties": {"room": {"type": "string", "nullable": True}}},
    },
}


def call(running: Gateway, method: str, path: str, body=None, key: str | None = None, **headers: str):
    """One request whose headers are these only; gives status, headers and text."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Authorization": f"Bearer {running.key if key is None else key}"} | headers
    try:
        connection.request(method, path, data, {name.replace("_", "-"): value for name, value in given.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def post(running: Gateway, path: str, body, **given):
    """One POST; gives status and JSON (a list of them where there are lines)."""
    status, headers, text = call(running, "POST", path, body, **given)
    if headers["content-type"] == "application/x-ndjson":
        return status, [json.loads(line) for line in text.splitlines()]
    return status, json.loads(text) if text else None


def tags(running: Gateway) -> dict:
    rows = json.loads(call(running, "GET", "/api/tags")[2])["models"]
    return {row["name"]: row for row in rows}


def loaded(running: Gateway) -> dict:
    rows = json.loads(call(running, "GET", "/api/ps")[2])["models"]
    return {row["name"]: row for row in rows}


def make_key(running: Gateway, *scopes: str, models: list[str] | None = None) -> str:
    status, made = running.ask("POST", "/api/admin/keys", {"scopes": list(scopes), "models": models})
    assert status == 201
    return made["secret"]


def test_what_says_that_it_is_there(echo_gateway: Gateway):
    """The root says what Ollama says, with GET and HEAD and without a key; a browser gets a page."""
    for method, said in (("GET", "Ollama is running"), ("HEAD", "")):
        status, headers, text = call(echo_gateway, method, "/", key="")
        assert (status, text) == (200, said)
        assert headers["content-type"].startswith("text/plain")
    assert "LocalAI" in call(echo_gateway, "GET", "/", accept="text/html,*/*")[2]
    for method in ("GET", "HEAD"):
        assert call(echo_gateway, method, "/api/version", key="")[0] == 200
        assert call(echo_gateway, method, "/api/tags")[0] == 200


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain", "nonsense"])
def test_any_content_type_is_taken(echo_gateway: Gateway, kind: str | None):
    """A body is JSON whatever its content type says: LiteLLM sends none, and `curl -d` says that it is a form."""
    headers = {"content_type": kind} if kind else {}
    status, answer = post(echo_gateway, "/api/chat", CHAT, **headers)
    assert (status, answer["message"]["content"]) == (200, "to be or not")


def test_a_command_line_as_in_the_documentation(echo_gateway: Gateway):
    """A bare POST as curl sends it is answered line by line."""
    data = b'{"model": "echo", "prompt": "a b"}'
    head = (
        f"POST /api/generate HTTP/1.1\r\nHost: localhost:{echo_gateway.port}\r\nUser-Agent: curl/8.5.0\r\n"
        f"Accept: */*\r\nAuthorization: Bearer {echo_gateway.key}\r\nContent-Length: {len(data)}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", echo_gateway.port)) as connection:
        connection.sendall(head.encode() + data)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"application/x-ndjson" in answer
    assert b'"response":"a"' in answer


def test_open_webui(echo_gateway: Gateway):
    """Every call that Open WebUI makes over an Ollama connection is answered in the shape that it reads."""
    numbers = json.loads(call(echo_gateway, "GET", "/api/version")[2])["version"].split(".")
    assert [int(part) for part in numbers] >= [0, 5, 0]
    assert {row["model"] for row in tags(echo_gateway).values()} >= {"echo", "slow"}
    status, steps = post(echo_gateway, "/api/pull", {"name": "echo"})
    assert (status, steps[-1]) == (200, {"status": "success"})
    form = {"model": "echo", "messages": HI, "options": {"num_ctx": 2048, "num_thread": 4}, "keep_alive": "5m"}
    status, lines = post(echo_gateway, "/api/chat", form)
    assert (status, lines[-1]["done"], lines[-1]["eval_duration"] > 0) == (200, True, True)
    row = loaded(echo_gateway)["echo"]
    assert datetime.fromisoformat(row["expires_at"]) > datetime.now(UTC)
    shown = post(echo_gateway, "/api/show", {"name": "echo"})[1]
    assert shown["model_info"]["general.architecture"] == "echo"
    embedded = post(echo_gateway, "/api/embed", {"model": "echo", "input": ["a", "b"], "truncate": True})[1]
    assert len(embedded["embeddings"]) == 2
    assert len(post(echo_gateway, "/api/embeddings", {"model": "echo", "prompt": "a"})[1]["embedding"]) == 8
    assert post(echo_gateway, "/api/copy", {"source": "echo", "destination": "webui"}) == (200, None)
    assert "webui" in tags(echo_gateway)
    assert call(echo_gateway, "DELETE", "/api/delete", {"model": "webui"})[0] == 200
    assert "webui" not in tags(echo_gateway)
    status, steps = post(echo_gateway, "/api/create", {"model": "webui", "from": "echo", "system": "Be kind."})
    assert (status, steps[-1]) == (200, {"status": "success"})
    assert call(echo_gateway, "DELETE", "/api/delete", {"name": "webui:latest"})[0] == 200
    assert post(echo_gateway, "/api/push", {"name": "echo"})[0] == 400
    chat = {"model": "echo", "messages": HI}
    assert post(echo_gateway, "/v1/chat/completions", chat)[0] == 200
    unload = {"model": "echo", "keep_alive": 0, "prompt": ""}
    assert post(echo_gateway, "/api/generate", unload)[1]["done_reason"] == "unload"
    assert "echo" not in loaded(echo_gateway)


def test_codex_finds_its_model(echo_gateway: Gateway):
    """The exact name that is asked for, and each other name of a model, stands in the list."""
    assert call(echo_gateway, "GET", "/v1/models")[0] == 200
    assert {"echo", "parrot"} <= set(tags(echo_gateway))


def test_home_assistant(echo_gateway: Gateway):
    """Home Assistant's chat is taken: OpenAPI-style schemas, a context of its own, kept for ever or for seconds."""
    body = {
        "model": "echo",
        "messages": [{"role": "system", "content": "You control a house."}, *HI],
        "tools": [TOOL],
        "stream": True,
        "keep_alive": -1,
        "options": {"num_ctx": 4096},
        "think": False,
    }
    status, lines = post(echo_gateway, "/api/chat", body)
    assert (status, lines[-1]["done_reason"]) == (200, "stop")
    schema = {"type": "object", "properties": {"name": {"type": "string", "nullable": True}}, "required": ["name"]}
    answer = post(echo_gateway, "/api/chat", {**body, "tools": [], "format": schema, "keep_alive": "30s"})
    assert answer[0] == 200


def test_a_forced_tool_is_called(echo_gateway: Gateway):
    """A required call, which Ollama would not enforce, is made: one whole call with an object of arguments."""
    body = {"model": "echo", "messages": HI, "tools": [TOOL], "tool_choice": "required"}
    lines = post(echo_gateway, "/api/chat", body)[1]
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [("light", {})]
    (call_,) = post(echo_gateway, "/api/chat", {**body, "stream": False})[1]["message"]["tool_calls"]
    assert call_["function"] == calls[0]["function"]


def test_a_larger_context_is_loaded_and_stays(tmp_path: Path):
    """A request for more context gets it at the next power of two; one for less, or none, changes nothing."""
    write_echo(tmp_path, context=1024)
    with gateway(tmp_path) as running:
        sizes = []
        for options in ({}, {"num_ctx": 512}, {"num_ctx": 3000}, {}, {"num_ctx": 4096}):
            assert post(running, "/api/chat", {**CHAT, "options": options})[0] == 200
            sizes.append(loaded(running)["echo"]["context_length"])
        assert sizes == [1024, 1024, 4096, 4096, 4096]
        long = {**CHAT, "messages": [{"role": "user", "content": "word " * 5000}]}
        status, answer = post(running, "/api/chat", long)
        assert status == 400
        assert "4096" in answer["error"]


def test_a_context_that_does_not_fit_is_refused(tmp_path: Path):
    """More context than there is memory for is refused with figures."""
    (tmp_path / "models").mkdir(mode=0o700)
    header = {**LLAMA, "llama.context_length": 2**22}
    (tmp_path / "models" / "tiny.gguf").write_bytes(build(header))
    with gateway(tmp_path, memory=str(900 * 2**20)) as running:
        for prompt in ("x", ""):
            body = {"model": "tiny", "prompt": prompt, "options": {"num_ctx": 2**22}}
            status, answer = post(running, "/api/generate", body)
            assert status == 507
            assert "memory" in answer["error"]


def test_a_killed_engine_ends_its_stream(echo_gateway: Gateway):
    """When the process that runs a model dies in the middle, the stream ends with one line that says so."""
    body = {"model": "slow", "messages": [{"role": "user", "content": "word " * 2000}]}
    stream = Stream(echo_gateway.port, echo_gateway.key, "/api/chat", body).open()
    lines = stream.lines()
    first = [json.loads(next(lines)) for _ in range(3)]
    (row,) = [row for row in echo_gateway.loaded() if row["name"] == "slow"]
    os.kill(row["pid"], signal.SIGKILL)
    rest = [json.loads(line) for line in lines if line]
    assert not any(line["done"] for line in first)
    assert list(rest[-1]) == ["error"]
    assert isinstance(rest[-1]["error"], str)


WRONG = {"Authorization": "Bearer sk-wrong"}
DIGEST = f"sha256:{'0' * 64}"
FAILURES = [
    ("POST", "/api/chat", b"", {}, 400, "empty"),
    ("POST", "/api/chat", b"{", {}, 400, "JSON"),
    ("POST", "/api/chat", b"[]", {}, 400, "object"),
    ("POST", "/api/chat", b'{"model": "echo", "model": "x"}', {}, 400, ""),
    ("POST", "/api/chat", b"\xff\xfe", {}, 400, ""),
    ("POST", "/api/chat", CHAT, WRONG, 401, "API key"),
    ("POST", "/api/chat", CHAT, {"Authorization": ""}, 401, "API key"),
    ("GET", "/api/tags", None, WRONG, 401, "API key"),
    ("POST", "/api/chat", {**CHAT, "model": "none"}, {}, 404, "`none`"),
    ("POST", "/api/chat", {**CHAT, "model": "none", "stream": True}, {}, 404, "`none`"),
    ("POST", "/api/chat", {**CHAT, "model": "../up"}, {}, 400, "model"),
    ("POST", "/api/chat", {**CHAT, "model": "x" * 600}, {}, 400, "model"),
    ("POST", "/api/chat", {**CHAT, "messages": [{"role": "x"}]}, {}, 400, "messages.0.role"),
    ("POST", "/api/chat", {**CHAT, "messages": "x"}, {}, 400, "messages"),
    ("POST", "/api/chat", {**CHAT, "messages": HI * 20000}, {}, 400, "messages"),
    ("POST", "/api/chat", {**CHAT, "options": {"top_p": 5}}, {}, 400, "options.top_p"),
    ("POST", "/api/chat", {**CHAT, "keep_alive": "soon"}, {}, 400, "keep_alive"),
    ("POST", "/api/chat", {**CHAT, "format": "xml"}, {}, 400, "format"),
    ("POST", "/api/chat", {**CHAT, "tool_choice": "required"}, {}, 400, "tool"),
    ("POST", "/api/chat", {**CHAT, "tools": [TOOL, TOOL]}, {}, 400, "twice"),
    ("POST", "/api/chat", {**CHAT, "messages": [{"role": "user", "content": "w " * 9000}]}, {}, 400, "4096"),
    ("POST", "/api/generate", {"model": "echo", "prompt": "x", "images": ["AAAA"]}, {}, 400, "images.0"),
    ("POST", "/api/generate", {"model": "echo", "prompt": "x", "template": "t"}, {}, 400, "template"),
    ("POST", "/api/generate", {"model": "echo", "prompt": "x", "context": ["a"]}, {}, 400, "context"),
    ("POST", "/api/embed", {"model": "echo", "input": [1]}, {}, 400, "input"),
    ("POST", "/api/embed", {"model": "echo", "input": ["a"] * 3000}, {}, 400, "2048"),
    ("POST", "/api/embed", {"input": []}, {}, 400, "model"),
    ("POST", "/api/show", {}, {}, 400, "model"),
    ("POST", "/api/show", {"model": "none"}, {}, 404, "`none`"),
    ("POST", "/api/pull", {"model": "none"}, {}, 404, "`none`"),
    ("POST", "/api/pull", {"model": "http://example.invalid/m.gguf", "stream": False}, {}, 400, "https"),
    ("POST", "/api/push", {"model": "echo"}, {}, 400, "push"),
    ("POST", "/api/create", {"model": "new"}, {}, 400, "from"),
    ("POST", "/api/create", {"model": "new", "from": "none"}, {}, 404, "`none`"),
    ("POST", "/api/create", {"model": "new", "files": {"a.gguf": DIGEST}}, {}, 400, "upload"),
    ("POST", "/api/create", {"model": "new", "files": {"a.gguf": "x"}}, {}, 400, "digest"),
    ("POST", "/api/create", {"model": "parrot", "from": "slow"}, {}, 409, "parrot"),
    ("POST", "/api/copy", {"source": "none", "destination": "new"}, {}, 404, "`none`"),
    ("DELETE", "/api/delete", {"model": "none"}, {}, 404, "`none`"),
    ("DELETE", "/api/delete", {"model": "parrot"}, {}, 409, "alias"),
    ("POST", f"/api/blobs/{DIGEST}", b"other", {}, 400, "digest"),
    ("POST", "/api/blobs/x", b"other", {}, 400, "digest"),
    ("GET", "/api/chat", None, {}, 405, ""),
    ("GET", "/api/nothing", None, {}, 404, ""),
    ("POST", "/api/chat", CHAT, {"Host": "evil.example"}, 421, "Host"),
    ("POST", "/api/chat", CHAT, {"Origin": "https://evil.example"}, 403, "origin"),
    ("POST", "/api/chat", CHAT, {"Content-Encoding": "gzip"}, 415, "compressed"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "words"), FAILURES)
def test_failures_are_texts(echo_gateway: Gateway, method, path, body, headers, status, words):
    """Whatever goes wrong is told by its status and by one text that names what it was about."""
    got, answered, text = call(echo_gateway, method, path, body, **headers)
    assert got == status, text
    answer = json.loads(text)
    assert list(answer) == ["error"]
    assert isinstance(answer["error"], str)
    assert words in answer["error"]
    assert answered["x-should-retry"] == "false"
    assert answered["x-request-id"]


def test_who_may_do_what(echo_gateway: Gateway):
    """A key to use models makes, fetches and removes none; a key for some models sees no others."""
    user = make_key(echo_gateway, "infer")
    assert post(echo_gateway, "/api/chat", CHAT, key=user)[0] == 200
    for path in ("/api/pull", "/api/push", "/api/create", "/api/copy", f"/api/blobs/{DIGEST}"):
        status, answer = post(echo_gateway, path, {"model": "echo"}, key=user)
        assert (status, "models" in answer["error"]) == (403, True)
    assert call(echo_gateway, "DELETE", "/api/delete", {"model": "echo"}, key=user)[0] == 403
    assert call(echo_gateway, "HEAD", f"/api/blobs/{DIGEST}", key=user)[0] == 403
    guest = make_key(echo_gateway, "infer", "models", models=["slow", "mine"])
    rows = json.loads(call(echo_gateway, "GET", "/api/tags", key=guest)[2])["models"]
    assert [row["name"] for row in rows] == ["slow"]
    for path, body in (
        ("/api/chat", CHAT),
        ("/api/show", {"model": "echo"}),
        ("/api/copy", {"source": "echo", "destination": "mine"}),
        ("/api/create", {"model": "mine", "from": "echo"}),
        ("/api/generate", {"model": "echo", "keep_alive": 0}),
    ):
        assert post(echo_gateway, path, body, key=guest)[0] == 404, path
    assert post(echo_gateway, "/api/copy", {"source": "slow", "destination": "theirs"}, key=guest)[0] == 403
    assert call(echo_gateway, "DELETE", "/api/delete", {"model": "echo"}, key=guest)[0] == 404


def test_uploads_are_larger_than_bodies(tmp_path: Path):
    """An uploaded file may be larger than any other body, with its length told or not, and is there once it came."""
    data = build({**LLAMA, "general.name": "upload"}) + bytes(700_000)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    write_echo(tmp_path)
    with gateway(tmp_path, body_limit="65536") as running:
        assert call(running, "HEAD", f"/api/blobs/{digest}")[0] == 404
        status, _, _ = call(running, "POST", f"/api/blobs/{digest}", data)
        assert status == 201
        assert call(running, "POST", f"/api/blobs/{digest}", data)[0] == 200
        assert call(running, "HEAD", f"/api/blobs/{digest}")[0] == 200
        assert chunked(running, "a" * 64, data) == 400  # another digest: refused after the last byte
        large = {"model": "echo", "prompt": "x" * 100_000}
        assert post(running, "/api/generate", large)[0] == 413
        status, steps = post(running, "/api/create", {"model": "up", "files": {"m.gguf": digest}})
        assert steps[-1] == {"status": "success"}
        assert tags(running)["up"]["size"] == len(data)
        copied = post(running, "/api/copy", {"source": "up", "destination": "down"})
        assert copied[0] == 200
        for name in ("up", "down"):
            assert call(running, "DELETE", "/api/delete", {"model": name})[0] == 200
        assert call(running, "HEAD", f"/api/blobs/{digest}")[0] == 404


def chunked(running: Gateway, digest: str, data: bytes) -> int:
    """Upload in chunks of 32 KiB, as ollama's asynchronous client does; gives the status."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    pieces = [data[at : at + 32768] for at in range(0, len(data), 32768)]
    headers = {"Authorization": f"Bearer {running.key}", "Transfer-Encoding": "chunked"}
    try:
        connection.request("POST", f"/api/blobs/sha256:{digest}", iter(pieces), headers, encode_chunked=True)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_pull_tells_its_progress(tmp_path: Path):
    """A source is pulled with Ollama's lines and is installed then; a damaged one is an error."""
    home, source = tmp_path / "home", tmp_path / "Tiny.gguf"
    home.mkdir()
    write_echo(home)
    source.write_bytes(build())
    (tmp_path / "Bad.gguf").write_bytes(b"no model at all")
    with gateway(home) as running:
        status, steps = post(running, "/api/pull", {"model": source.as_uri()})
        said = [step["status"] for step in steps]
        assert (status, said[0], said[-1]) == (200, "pulling manifest", "success")
        moved = [step for step in steps if "total" in step]
        assert all(step["completed"] <= step["total"] == source.stat().st_size for step in moved)
        assert "Tiny" in tags(running)
        status, steps = post(running, "/api/pull", {"model": (tmp_path / "Bad.gguf").as_uri()})
        assert (status, list(steps[-1])) == (200, ["error"])
        status, answer = post(running, "/api/pull", {"model": (tmp_path / "Bad.gguf").as_uri(), "stream": False})
        assert (status, list(answer)) == (422, ["error"])


def test_the_second_port(tmp_path: Path):
    """With `ollama_port` the same server answers there too, with the same keys; a taken port stops the start."""
    write_echo(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with gateway(tmp_path, ollama_port=str(port)) as running:
        status, _, text = call(running, "GET", "/api/version")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/version")
        answer = connection.getresponse()
        assert (answer.status, answer.read().decode()) == (status, text)
        connection.request("POST", "/api/chat", json.dumps(CHAT), {"Authorization": f"Bearer {running.key}"})
        answer = connection.getresponse()
        assert json.loads(answer.read())["message"]["content"] == "to be or not"
        connection.request("GET", "/api/tags")
        assert connection.getresponse().status == 401
        connection.close()
        assert f"http://127.0.0.1:{port}" in running.log.read_text()
        (tmp_path / "second").mkdir()
        second = Gateway(tmp_path / "second", ollama_port=str(port))
        assert second.process.wait(60) != 0
        second.stop()
        assert "--ollama-port" in second.log.read_text()
