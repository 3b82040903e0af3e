"""Hostile HTTP, JSON and names against a real gateway process with its real limits."""

import gzip
import json
import re
import socket
import threading
import time

import pytest

import baseline
import ggufs
from gateway import Gateway, gateway, write_echo
from sse import Stream, ask

CHAT = "/v1/chat/completions"


def exchange(running: Gateway, *pieces: bytes) -> tuple[int, bytes]:
    """Send bytes as they are while reading; gives the status and what came with it."""
    with socket.create_connection(("127.0.0.1", running.port), 15) as raw:

        def send() -> None:
            try:
                for piece in pieces:
                    raw.sendall(piece)
            except OSError:
                return  # refused while it was sent

        sender = threading.Thread(target=send)
        sender.start()
        got = b""
        try:
            while not whole(got) and (data := raw.recv(65536)):
                got += data
        finally:
            raw.shutdown(socket.SHUT_RDWR)
            sender.join()
    return int(got.split(b" ", 2)[1]), got


def whole(got: bytes) -> bool:
    """Whether an answer is complete, as far as its length is known."""
    first, end, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", first)
    return bool(end) and (length is None or len(body) >= int(length[1]))


def head(running: Gateway, *fields: bytes, target: bytes = CHAT.encode(), method: bytes = b"POST") -> bytes:
    """The head of a request with a Host and the key."""
    own = (b"Host: localhost", b"Authorization: Bearer " + running.key.encode())
    return b"\r\n".join((b"%s %s HTTP/1.1" % (method, target), *own, *fields)) + b"\r\n\r\n"


MIB = 2**20
BOMB = gzip.compress(bytes(10 * MIB))
HEADS = {
    "H1 two framings": ([b"Content-Length: 2", b"Transfer-Encoding: chunked"], [b"0\r\n\r\n"], {400}),
    "H2 two lengths": ([b"Content-Length: 2", b"Content-Length: 3"], [b"{}"], {400}),
    "H3 a huge chunk": ([b"Transfer-Encoding: chunked"], [b"FFFFFFFFFFFFFFFF\r\n{}"], {400}),
    "H3 a bad end": ([b"Transfer-Encoding: chunked"], [b"2\r\n{}XX0\r\n\r\n"], {400}),
    "H4 a million chunks": ([b"Transfer-Encoding: chunked"], [b"1\r\n \r\n" * 10_000] * 100, {408, 413}),
    "H5 10,000 headers": ([b"X-%d: y" % number for number in range(10_000)], [], {431}),
    "H5 a header of 1 MB": ([b"X: " + b"y" * MIB], [], {431}),
    "H6 another host": ([b"Host: evil.example"], [], {400}),
    "H7 5 GB announced": ([b"Content-Length: 5368709120"], [b" " * MIB], {413}),
    "H7 more than the limit": (
        [b"Transfer-Encoding: chunked"],
        [b"%x\r\n%s\r\n" % (MIB, b" " * MIB) for _ in range(33)],
        {413},
    ),
    "H8 a bomb": ([b"Content-Encoding: gzip", b"Content-Length: %d" % len(BOMB)], [BOMB], {415}),
    "H10 10,000 ranges": ([b"Range: bytes=" + b"0-," * 10_000 + b"0-"], [], {400}),
}


@pytest.mark.parametrize("name", HEADS)
def test_hostile_requests(echo_gateway: Gateway, name: str):
    """Each hostile request (H1 to H8, H10) is refused as it should be, at once, and costs nothing that stays."""
    fields, body, wanted = HEADS[name]
    before = baseline.held(echo_gateway)
    began = time.monotonic()
    status, _ = exchange(echo_gateway, head(echo_gateway, *fields), *body)
    assert status in wanted
    assert time.monotonic() - began < 5
    baseline.returns(echo_gateway, before, growth=40 * MIB)
    assert echo_gateway.ask("POST", CHAT, ask("good"))[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.0\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 400),
    ],
)
def test_hosts(echo_gateway: Gateway, data: bytes, status: int):
    """Another host, two of them, none, or a target that names another is refused before anything else (H6)."""
    assert exchange(echo_gateway, data)[0] == status


def multipart(parts: list[bytes], boundary: bytes = b"b") -> bytes:
    return b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


PART = b'Content-Disposition: form-data; name="x"\r\n\r\ny'
FORMS = {
    "100,000 parts": (multipart([PART] * 100_000), b"b", {400, 413}),
    "a boundary of 64 kB": (multipart([PART], b"b" * 65536), b"b" * 65536, {400, 413, 431}),
    "a field of 30 MB": (multipart([PART + b"y" * 30 * MIB]), b"b", {400, 413}),
    "a name outside": (
        multipart([b'Content-Disposition: form-data; name="file"; filename="../../x\0"\r\n\r\n{}']),
        b"b",
        {400},
    ),
    "no end": (b"--b\r\n" + PART, b"b", {400}),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(echo_gateway: Gateway, name: str):
    """A form sent where JSON belongs is refused, whatever is in it, and no part becomes a file (H9)."""
    body, boundary, wanted = FORMS[name]
    fields = b"Content-Type: multipart/form-data; boundary=" + boundary, b"Content-Length: %d" % len(body)
    before = set(echo_gateway.home.rglob("*"))
    began = time.monotonic()
    assert exchange(echo_gateway, head(echo_gateway, *fields), body)[0] in wanted
    assert time.monotonic() - began < 2
    assert {path for path in echo_gateway.home.rglob("*") if "run" not in path.parts} <= before


def test_a_form_field_of_a_gigabyte(echo_gateway: Gateway):
    """A form that announces a gigabyte is refused before it is read (H9)."""
    fields = b"Content-Type: multipart/form-data; boundary=b", b"Content-Length: 1073741824"
    assert exchange(echo_gateway, head(echo_gateway, *fields), b"--b\r\n" + PART)[0] == 413


def test_ranges_of_a_page(echo_gateway: Gateway):
    """Ten thousand ranges of a page are ignored: the page comes once, as quick as without them (H10)."""
    fields = (b"Range: bytes=" + b"0-," * 10_000 + b"0-",)
    began = time.monotonic()
    status, got = exchange(echo_gateway, head(echo_gateway, *fields, target=b"/docs", method=b"GET"))
    assert status == 200
    assert b"content-range" not in got.lower()
    assert time.monotonic() - began < 0.5


BODIES = {
    "H11 arrays": b'{"messages":' + b"[" * 100_000,
    "H11 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "H12 a long integer": b'{"messages":[],"n":' + b"9" * 10**6 + b"}",
    "H12 infinity": b'{"messages":[],"temperature":1e999}',
    "H12 NaN": b'{"messages":[],"temperature":NaN}',
    "H12 twice": b'{"model":"echo","model":"slow"}',
    "H12 100,000 names": json.dumps({"\0" * (number % 7) + str(number): 0 for number in range(100_000)}).encode(),
    "H13 half a pair": b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    "H13 overlong": b'{"messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "H13 not UTF-8": b'{"messages":[{"role":"user","content":"\xff"}]}',
    "H14 messages": b'{"messages":{}}',
    "H14 content": b'{"messages":[{"role":"user","content":null}]}',
}


@pytest.mark.parametrize("name", BODIES)
def test_hostile_json(echo_gateway: Gateway, name: str):
    """Each hostile body (H11 to H14) is a 400 of the gateway, quickly, and the next request is served."""
    body = BODIES[name]
    began = time.monotonic()
    status, got = exchange(echo_gateway, head(echo_gateway, b"Content-Length: %d" % len(body)), body)
    assert status == 400
    assert b'"error"' in got
    assert time.monotonic() - began < 1
    assert echo_gateway.ask("POST", CHAT, ask("good"))[0] == 200


@pytest.mark.parametrize("said", ["\x00", "\u202e abc \u202c", "\ufeff", "e\u0301", "\U0001f600", "\uffff"])
def test_strange_text_is_carried(echo_gateway: Gateway, said: str):
    """NUL, marks of order and direction, and every other character go through model and gateway exactly (H13)."""
    status, answer = echo_gateway.ask("POST", CHAT, ask(said))
    assert (status, answer["choices"][0]["message"]["content"]) == (200, said)


NAMES = [
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%252e%252e%252f", "a/../../b", "/abs", "/etc/passwd", "C:\\x",
    "\\\\host\\share", ".", "..", "-rf", "--flag", "a\nb", "a\0", "CON", "trailing.", "trailing ", "e\u0301",
    "\u202eevil", "echo/..", "echo%00", "ECHO", "x" * 2**20,
    "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha256:../..", "sha256:" + "z" * 64, "sha256-" + "a" * 64,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:24]))
def test_hostile_names_in_a_body(echo_gateway: Gateway, name: str):
    """A name that is a path, an option, a device or a digest is refused on every route that takes one (H23 to H25)."""
    began = time.monotonic()
    for path, body in (
        (CHAT, ask("x", model=name)),
        ("/v1/embeddings", {"model": name, "input": "x"}),
        ("/tokenize", {"model": name, "content": "x"}),
        ("/api/admin/load", {"model": name}),
        ("/api/admin/unload", {"model": name}),
    ):
        status, answer = echo_gateway.ask("POST", path, body)
        assert status in {400, 404}, (path, status)
        assert len(json.dumps(answer)) < 1500
    assert time.monotonic() - began < 2


def test_an_empty_name_is_no_model(echo_gateway: Gateway):
    """An empty name is a 400, or means the default where a name may be left out; it is never looked up (H24)."""
    assert echo_gateway.ask("POST", "/api/admin/load", {"model": ""})[0] == 400
    assert echo_gateway.ask("POST", CHAT, ask("x", model=""))[0] in {200, 400}


PATHS = [
    "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "../../../etc/passwd", "%252e%252e%252f", "a/../../b",
    "%2fabs", "C:%5cx", "%5c%5chost%5cshare", "-rf", "--flag", "a%0ab", "a%00", "CON", "trailing.", "trailing%20",
    "..", ".", "%c0%ae%c0%ae", "%ff", "%ud800", "%", "sha256:" + "a" * 63, "sha256:..%2f..", "e%cc%81", "%e2%80%aeevil",
    "x" * 8000,
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:24])
def test_hostile_names_in_a_url(echo_gateway: Gateway, path: str):
    """The same in URLs, encoded once or twice: 400 or 404 on every route with a name, and no file goes (H23 to H25)."""
    before = sorted(echo_gateway.home.rglob("*.yaml"))
    for method, base in (("GET", "/v1/models/"), ("GET", "/api/admin/models/"), ("DELETE", "/api/admin/models/")):
        target = (base + path).encode()
        status, got = exchange(echo_gateway, head(echo_gateway, target=target, method=method.encode()))
        assert status in {400, 404, 405}, (method, base, got)
        assert b"root:" not in got
    assert sorted(echo_gateway.home.rglob("*.yaml")) == before


TEMPLATES = {
    "reaches inside": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "by attr": "{{ ''|attr('__cla' ~ 'ss__') }}",
    "by format": "{{ '{0.__class__}'.format(messages) }}",
    "without end": "{% for i in range(10**9) %}{% for j in range(10**9) %}{% endfor %}{% endfor %}",
    "a gigabyte": "{{ 'x' * 2**30 }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "no Jinja": "{% for %}",
}


@pytest.mark.slow
def test_hostile_templates(tmp_path):
    """A model file whose chat template is hostile is a 422 when asked for, in time, and hurts nobody else (H39)."""
    write_echo(tmp_path, "slow", options={"delay": 0.02}, context=100_000)
    for place, template in enumerate(TEMPLATES.values()):
        values = ggufs.LLAMA | {"tokenizer.chat_template": template}
        (tmp_path / "models" / f"evil-{place}.gguf").write_bytes(ggufs.build(values))
    with gateway(tmp_path) as running:
        stream = Stream(running.port, running.key, CHAT, ask("word " * 200, model="slow", stream=True)).open()
        for place, name in enumerate(TEMPLATES):
            began = time.monotonic()
            status, answer = running.ask("POST", CHAT, ask("x", model=f"evil-{place}"))
            assert (status, answer["error"]["code"]) == (422, "invalid_model"), name
            assert "template" in answer["error"]["message"]
            assert time.monotonic() - began < 4
        assert "error" not in list(stream.events())[-1]
        assert [each["name"] for each in running.loaded() if each["state"] == "ready"] == ["slow"]


def test_hostile_files(tmp_path):
    """Hostile model files dropped into the folder are problems with reasons; the gateway serves what is sound (H40)."""
    write_echo(tmp_path)
    models = tmp_path / "models"
    (models / "keys.gguf").write_bytes(ggufs.build(keys=2**63))
    (models / "tensors.gguf").write_bytes(ggufs.build(count=2**40))
    (models / "align.gguf").write_bytes(ggufs.build(ggufs.LLAMA | {"general.alignment": 0}))
    (models / "short.gguf").write_bytes(ggufs.build(data=False)[:-10])
    (models / "empty.gguf").write_bytes(b"")
    with gateway(tmp_path) as running:
        assert set(running.ask("GET", "/api/admin/status")[1]["problems"]) == {
            "keys.gguf", "tensors.gguf", "align.gguf", "short.gguf", "empty.gguf"
        }  # fmt: skip
        for name in ("keys", "tensors", "align", "short", "empty"):
            assert running.ask("POST", CHAT, ask("x", model=name))[0] in {404, 422}
        assert running.ask("POST", CHAT, ask("x"))[0] == 200
