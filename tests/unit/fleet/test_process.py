"""One process: what it is given, what is kept of it, and that nothing is left of it."""

import asyncio
import os
import sys
from pathlib import Path

from fleets import children, descriptors
from localai.fleet import process
from localai.fleet.process import TAIL, Exit, Process


def python(code: str):
    return lambda descriptor: [sys.executable, "-I", "-c", code, str(descriptor)]


async def ran(run: Path, code: str) -> Exit:
    done: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
    child = Process(run, python(code), done.set_result)
    assert child.folder.stat().st_mode & 0o777 == 0o700
    try:
        return await done
    finally:
        child.socket.close()


async def test_environment(tmp_path: Path):
    """It has no variables of ours, no input, a session and a folder of its own, and one extra descriptor."""
    os.environ["SECRET_OF_THE_SERVER"] = "x"
    code = """
import os, sys
names = sorted(set(os.environ) - {"LC_CTYPE"})
extra = [fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}") and fd != 3]
print(names, sys.stdin.read(), os.getsid(0) == os.getpid(), os.path.realpath(os.environ["HOME"]) == os.getcwd())
os.fstat(int(sys.argv[1]))
"""
    exit_ = await ran(tmp_path, code)
    assert exit_.status == 0, exit_.tail.decode()
    assert exit_.tail.decode().strip() == "['HOME', 'LOCALAI_SPAWN', 'TMPDIR']  True True"


async def test_exit_status_and_signal(tmp_path: Path):
    """The end is told as a status or as the name of a signal."""
    assert (await ran(tmp_path, "raise SystemExit(3)")).cause == "exit 3"
    assert (await ran(tmp_path, "import os; os.kill(os.getpid(), 11)")).cause == "SIGSEGV"


async def test_tail(tmp_path: Path):
    """Of what it prints the last part is kept, however much it is."""
    exit_ = await ran(tmp_path, "import sys; sys.stderr.write('x' * 1_000_000 + 'end')")
    assert len(exit_.tail) == TAIL
    assert exit_.tail.endswith(b"xend")


async def test_nothing_is_left(tmp_path: Path):
    """After the end there is no folder, no descriptor and no zombie, also of children that outlived it."""
    await ran(tmp_path, "")
    before = descriptors(), set(children())
    fork = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  time.sleep(1000)"
    for _ in range(3):
        assert (await ran(tmp_path, fork)).left == 0
    assert not list(tmp_path.iterdir())
    assert (descriptors(), set(children())) == before


async def test_sweep_removes_folders_without_a_server(tmp_path: Path):
    """Folders that no living server owns are removed, whatever is in them."""
    (tmp_path / "old").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "process").write_bytes(b'{"pid": 1')
    note = b'{"pid": %d, "born": 1, "token": "t", "owner": 4194304, "owner_born": 1}' % os.getpid()
    (tmp_path / "reused").mkdir()
    (tmp_path / "reused" / "process").write_bytes(note)
    assert process.sweep(tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_sweep_of_nothing(tmp_path: Path):
    """A server that never ran has nothing to sweep."""
    assert process.sweep(tmp_path / "run") == 0


def test_command():
    """The real worker is started by name, isolated from the environment and the current folder."""
    assert process.worker(7) == [sys.executable, "-I", "-m", "localai.worker.main", "7"]
