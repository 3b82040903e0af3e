"""Files and uploads on a real gateway: what comes back is what came, whatever the form, the size and the disk."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import SERVE, Gateway, gateway, write_echo
from posting import BOUNDARY, Client, form

MIB = 2**20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("files")
    write_echo(home)
    with gateway(home, file_limit=str(4 * MIB), file_quota=str(40 * MIB), body_limit=str(MIB)) as started:
        yield started


@pytest.fixture
def client(running: Gateway):
    """A client, and nothing left behind by the test."""
    asking = Client(running.port, running.key)
    yield asking
    for file in asking.ask("GET", "/v1/files")[1]["data"]:
        assert asking.ask("DELETE", f"/v1/files/{file['id']}")[0] == 200
    assert contents(running.home) == []


def contents(home: Path) -> list[str]:
    """Everything below the folder of files."""
    return sorted(path.name for path in (home / "files").rglob("*") if path.is_file())


def test_a_file_comes_back_as_it_was(client: Client):
    """A file of any bytes, larger than any other body may be, is described, listed, given back and deleted."""
    data = bytes(range(256)) * 8192 + f"\r\n--{BOUNDARY[:-1]}".encode()
    parts = (("file", data, "Größe.bin"), ("purpose", "user_data"), ("expires_after[anchor]", "created_at"))
    status, made = client.post_form("/v1/files", form(*parts, ("expires_after[seconds]", 3600)))
    assert status == 200, made
    assert (made["object"], made["bytes"], made["filename"], made["purpose"]) == (
        "file",
        len(data),
        "Größe.bin",
        "user_data",
    )
    assert made["expires_at"] - made["created_at"] == 3600
    assert client.ask("GET", f"/v1/files/{made['id']}") == (200, made)
    assert client.ask("GET", "/v1/files?purpose=user_data")[1]["data"] == [made]
    assert client.ask("GET", "/v1/files?purpose=batch")[1]["data"] == []
    assert client.content(made["id"]) == data
    deleted = {"id": made["id"], "object": "file", "deleted": True}
    assert client.ask("DELETE", f"/v1/files/{made['id']}") == (200, deleted)
    for path in (f"/v1/files/{made['id']}", f"/v1/files/{made['id']}/content"):
        assert client.ask("GET", path)[0] == 404


def test_the_same_content_twice_is_stored_once(client: Client, running: Gateway):
    """Two files with the same bytes share them, and those stay until the second is deleted."""
    first, second = client.store(b"same"), client.store(b"same", name="other")
    assert len(contents(running.home)) == 1
    client.ask("DELETE", f"/v1/files/{first}")
    assert client.content(second) == b"same"


def test_names_are_labels(client: Client, running: Gateway):
    """A file name that is a path, or holds odd characters, is only ever shown, and without them."""
    names = {
        "../../etc/passwd": "passwd",
        "/etc/shadow": "shadow",
        "C:\\windows\\a.txt": "a.txt",
        "..": "file",
        "": "file",
        "a\0b\x07.txt": "ab.txt",
        "x" * 999: "x" * 255,
        "\u202egpj.exe": "gpj.exe",
    }
    for given, shown in names.items():
        identifier = client.store(b"x", name=given)
        assert client.ask("GET", f"/v1/files/{identifier}")[1]["filename"] == shown, given
    assert len(contents(running.home)) == 1


def test_forms_that_are_wrong_leave_nothing(client: Client, running: Gateway):
    """A form that is malformed, cut, too long, or lacks something is a 4xx that says so, and nothing is stored."""
    good = form(("purpose", "batch"), ("file", b"data", "a"))
    head = f"--{BOUNDARY}\r\n".encode()
    many = tuple((f"f{number}", "x") for number in range(10_000))
    for name, data in {
        "nothing": b"",
        "no boundary in it": b"data" * 100,
        "another boundary": good.replace(BOUNDARY.encode(), b"other"),
        "cut in the file": good[:-20],
        "no last boundary": good[: -len(BOUNDARY) - 6],
        "only the end": f"--{BOUNDARY}--\r\n".encode(),
        "endless header": head + b"Content-Disposition: form-data; " + b"x" * 500_000,
        "endless headers": head + b"a: b\r\n" * 100_000,
        "header without colon": head + b"nothing\r\n\r\nx" + good,
        "no name": head + b"Content-Disposition: form-data\r\n\r\nx\r\n" + good,
        "no disposition": head + b"\r\nx\r\n" + good,
        "ten thousand parts": form(*many, ("file", b"x", "a"), ("purpose", "batch")),
        "ten thousand parts behind": form(("file", b"x", "a"), *many, ("purpose", "batch")),
        "long field": form(("purpose", "b" * 10_000), ("file", b"x", "a")),
        "not UTF-8": form(("purpose", b"\xff\xfe"), ("file", b"x", "a")),
        "no file": form(("purpose", "batch")),
        "no purpose": form(("file", b"x", "a")),
        "odd purpose": form(("file", b"x", "a"), ("purpose", "../x")),
        "two files": form(("file", b"x", "a"), ("file", b"y", "b"), ("purpose", "batch")),
        "half an expiry": form(("file", b"x", "a"), ("purpose", "batch"), ("expires_after[seconds]", "3600")),
        "short expiry": form(
            ("file", b"x", "a"),
            ("purpose", "batch"),
            ("expires_after[anchor]", "created_at"),
            ("expires_after[seconds]", "1"),
        ),
    }.items():
        status, answer = client.post_form("/v1/files", data)
        assert 400 <= status < 500, (name, status, answer)
        assert answer["error"]["message"], name
        assert contents(running.home) == [], name
    assert client.ask("GET", "/v1/files")[1]["data"] == []


def test_bodies_that_are_no_forms(client: Client):
    """JSON is a 415; a form without a boundary, or with one that is too long, is a 400."""
    for kind, expected in {
        "application/json": 415,
        "multipart/mixed; boundary=x": 415,
        "multipart/form-data": 400,
        "multipart/form-data; boundary=": 400,
        f"multipart/form-data; boundary={'b' * 300}": 400,
    }.items():
        status, _ = client.ask("POST", "/v1/files", form(("file", b"x", "a"), ("purpose", "batch")), kind=kind)
        assert status == expected, kind


def test_files_that_are_too_large(client: Client, running: Gateway):
    """A file beyond `file_limit` is a 413 that leaves nothing, and a JSON body is still bound by `body_limit`."""
    big = form(("file", bytes(4 * MIB + 1), "a"), ("purpose", "batch"))
    assert client.post_form("/v1/files", big)[0] == 413
    assert client.post_form("/v1/files", form(("file", bytes(8 * MIB), "a"), ("purpose", "batch")))[0] == 413
    assert chunked(running, big).startswith(b"HTTP/1.1 413")
    assert contents(running.home) == []
    status, _ = client.ask("POST", "/v1/uploads", b'{"filename": "' + b"a" * (MIB + 1) + b'"}')
    assert status == 413


def chunked(running: Gateway, data: bytes) -> bytes:
    """Send a form without announcing its length; gives the beginning of the answer."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as wire:
        head = (
            f"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nAuthorization: Bearer {running.key}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        try:
            wire.sendall(head.encode())
            for start in range(0, len(data), 65536):
                piece = data[start : start + 65536]
                wire.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            wire.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # refused in the middle: the answer is there to be read
        return wire.recv(65536)


def test_a_client_that_leaves_in_the_middle(client: Client, running: Gateway):
    """A connection that ends in the middle of a file leaves nothing behind."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as wire:
        head = (
            f"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nAuthorization: Bearer {running.key}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {3 * MIB}\r\n\r\n"
        )
        wire.sendall(head.encode() + form(("file", bytes(2 * MIB), "a"))[: 2 * MIB])
        client.when_disk(lambda: contents(running.home) != [])
    client.when_disk(lambda: contents(running.home) == [])


def test_the_quota(client: Client, running: Gateway):
    """An owner's files may have so many bytes together; what does not fit is refused until something is deleted."""
    stored = [client.store(os.urandom(4 * MIB), name=f"f{number}") for number in range(10)]
    status, answer = client.post_form("/v1/files", form(("file", b"x", "a"), ("purpose", "batch")))
    assert (status, answer["error"]["code"]) == (413, "payload_too_large")
    client.ask("DELETE", f"/v1/files/{stored[0]}")
    client.store(b"x")
    assert len(contents(running.home)) == 10


def test_an_upload_in_parts(client: Client, running: Gateway):
    """Parts are put together in the order that is asked for, checked by their MD5, and are gone afterwards."""
    data = os.urandom(6 * MIB)
    made = client.ask(
        "POST", "/v1/uploads", {"filename": "big", "purpose": "user_data", "bytes": len(data), "mime_type": "x/y"}
    )[1]
    assert (made["status"], made["file"]) == ("pending", None)
    at = f"/v1/uploads/{made['id']}"
    pieces = [data[start : start + 2 * MIB] for start in range(0, len(data), 2 * MIB)]
    parts = [client.post_form(f"{at}/parts", form(("data", piece, "p")))[1]["id"] for piece in reversed(pieces)]
    order = parts[::-1]
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"part_ids": order[:2]}, "part_ids"),
        ({"part_ids": [*order, order[0]]}, "part_ids"),
        ({"part_ids": [*order[:2], "part_none"]}, "part_ids.2"),
        ({"part_ids": parts, "md5": hashlib.md5(data, usedforsecurity=False).hexdigest()}, "md5"),
        ({"part_ids": []}, "part_ids"),
    )
    for body, param in wrong:
        status, answer = client.ask("POST", f"{at}/complete", body)
        assert (status, answer["error"]["param"]) == (400, param), answer
    body = {"part_ids": order, "md5": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    status, done = client.ask("POST", f"{at}/complete", body)
    assert (status, done["status"], done["file"]["bytes"]) == (200, "completed", len(data))
    assert client.content(done["file"]["id"]) == data
    assert len(contents(running.home)) == 1
    assert client.ask("POST", f"{at}/complete", body)[0] == 409
    assert client.ask("POST", f"{at}/cancel")[0] == 409
    assert client.post_form(f"{at}/parts", form(("data", b"x", "p")))[0] == 409


def test_a_cancelled_upload(client: Client, running: Gateway):
    """A cancelled upload takes nothing more, and its parts are gone at once."""
    made = client.ask("POST", "/v1/uploads", {"filename": "a", "purpose": "batch", "bytes": 9})[1]
    client.post_form(f"/v1/uploads/{made['id']}/parts", form(("data", b"part", "p")))
    assert len(contents(running.home)) == 1
    assert client.ask("POST", f"/v1/uploads/{made['id']}/cancel")[1]["status"] == "cancelled"
    assert contents(running.home) == []
    assert client.post_form(f"/v1/uploads/{made['id']}/parts", form(("data", b"x", "p")))[0] == 409


def test_a_kill_in_the_middle_of_a_file(tmp_path: Path):
    """After kill -9 in the middle of a file and a new start, whole files are there and the half one is not."""
    write_echo(tmp_path)
    with gateway(tmp_path) as first:
        kept = Client(first.port, first.key).store(b"whole")
        (tmp_path / "files" / f"sha256-{'0' * 64}").write_bytes(b"nobody's")
        with socket.create_connection(("127.0.0.1", first.port), timeout=60) as wire:
            head = (
                f"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1:{first.port}\r\nAuthorization: Bearer {first.key}\r\n"
                f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {3 * MIB}\r\n\r\n"
            )
            wire.sendall(head.encode() + form(("file", bytes(2 * MIB), "a"))[: 2 * MIB])
            Client(first.port, first.key).when_disk(lambda: len(contents(tmp_path)) == 3)
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait(30)
    assert len(contents(tmp_path)) == 3
    with gateway(tmp_path) as second:
        asking = Client(second.port, second.key)
        assert asking.content(kept) == b"whole"
        asking.when_disk(lambda: len(contents(tmp_path)) == 1)


def small_disk(home: Path, size: str) -> tuple[str, ...]:
    """The command of a server whose folder of files is a file system of that size."""
    (home / "files").mkdir(mode=0o700)
    mount = f"mount -t tmpfs -o size={size},mode=0700 none '{home}/files' && exec {' '.join(SERVE)}"
    return ("unshare", "-rm", "sh", "-c", mount)


def mountable() -> bool:
    """Whether this system lets a test have a file system of its own."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode == 0


@pytest.mark.skipif(not mountable(), reason="no file system of its own for a test here")
def test_a_full_disk(tmp_path: Path):
    """A file that the disk has no room for is not_enough_disk, nothing of it is left, and smaller ones still fit."""
    write_echo(tmp_path)
    with gateway(tmp_path, small_disk(tmp_path, "68m")) as running:
        asking = Client(running.port, running.key)
        status, answer = asking.post_form("/v1/files", form(("file", os.urandom(16 * MIB), "a"), ("purpose", "batch")))
        assert (status, answer["error"]["code"]) == (507, "not_enough_disk")
        assert asking.ask("GET", "/v1/files")[1]["data"] == []
        for number in range(5):
            identifier = asking.store(os.urandom(2 * MIB), name=f"{number}")
            asking.ask("DELETE", f"/v1/files/{identifier}")
