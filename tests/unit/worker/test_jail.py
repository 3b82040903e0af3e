"""What a jailed process may still do, tried from inside."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from localai.core.model import Model, Sizing
from localai.worker import filters
from workers import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux only")

PREAMBLE = """
import ctypes, os, signal, socket, subprocess, sys, threading
from pathlib import Path
from localai.worker import jail
folder, model = Path(sys.argv[1]), sys.argv[2]
def refused(action):
    try:
        action()
    except OSError as error:
        return True
    return False
missing = jail.enter([model], folder)
"""


def jailed(body: str, tmp_path: Path, *extra: str) -> str:
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    (tmp_path / "model.gguf").write_text("weights")
    script = PREAMBLE + textwrap.dedent(body)
    command = [sys.executable, "-I", "-c", script, str(folder), str(tmp_path / "model.gguf"), *extra]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env={}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_everything_is_applied_here(tmp_path):
    """On a kernel with Landlock 6 or later nothing is missing."""
    version = landlock_version()
    said = jailed("print(missing)", tmp_path)
    assert (said == "()") == (version >= 6)


def landlock_version() -> int:
    import ctypes

    return ctypes.CDLL(None).syscall(444, None, 0, 1)


def test_only_the_model_and_python_can_be_read(tmp_path):
    """A jailed process reads its model, but no password file, no state, no key and no other model."""
    secrets = [tmp_path / name for name in ("state.db", "admin.key", "other.gguf")]
    for secret in secrets:
        secret.write_text("CANARY")
    said = jailed(
        """
        assert Path(model).read_text() == "weights"
        import json, ssl
        for path in ["/etc/passwd", "/etc/shadow", "/root/.bashrc", "/proc/1/environ", *sys.argv[3:]]:
            assert refused(lambda: open(path, "rb").read()), path
        assert refused(lambda: os.listdir("/home")) and refused(lambda: os.listdir(os.path.dirname(model)))
        print("held")
        """,
        tmp_path,
        *map(str, secrets),
    )
    assert said == "held"


def test_only_the_run_folder_can_be_written(tmp_path):
    """Writing, making, renaming and linking work in the run folder and nowhere else, not even on the model."""
    said = jailed(
        """
        (folder / "a").write_text("x")
        (folder / "a").rename(folder / "b")
        outside = folder.parent / "escaped"
        assert refused(lambda: outside.write_text("x"))
        assert refused(lambda: open(model, "r+b"))
        assert refused(lambda: os.unlink(model))
        assert refused(lambda: (folder / "b").rename(outside))
        assert refused(lambda: os.link(model, folder / "c"))
        assert refused(lambda: open("/tmp/escaped", "w"))
        assert refused(lambda: os.mknod(folder / "d", 0o60600, 0))
        print("held", os.environ["HOME"] == str(folder))
        """,
        tmp_path,
    )
    assert said == "held True"
    assert not (tmp_path / "escaped").exists()


def test_nothing_can_be_reached(tmp_path):
    """No TCP, no UDP, no listening, no abstract socket; a Unix socket in the run folder works."""
    said = jailed(
        """
        def tcp():
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        def udp():
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        def listen():
            socket.create_server(("127.0.0.1", 0))
        def packet():
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        for action in (tcp, udp, listen, packet):
            try:
                action()
            except PermissionError:
                continue
            raise SystemExit(f"{action.__name__} was possible")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "x.sock"))
        listener.listen()
        socket.socket(socket.AF_UNIX).connect(str(folder / "x.sock"))
        print("held")
        """,
        tmp_path,
    )
    assert said == "held"


def test_no_process_can_be_started_or_looked_into(tmp_path):
    """Forking, starting programs, tracing and signalling other processes are refused; threads are not."""
    said = jailed(
        """
        parent = os.getppid()
        libc = ctypes.CDLL(None, use_errno=True)
        assert refused(os.fork)
        assert refused(lambda: subprocess.run(["/bin/true"]))
        assert refused(lambda: os.execv("/bin/true", ["true"]))
        assert refused(lambda: os.kill(parent, 0)) or missing
        assert libc.ptrace(16, parent, 0, 0) == -1
        buffer = ctypes.create_string_buffer(8)
        assert libc.process_vm_readv(parent, buffer, 1, buffer, 1, 0) == -1
        assert refused(lambda: open(f"/proc/{parent}/environ").read())
        assert libc.unshare(0x10000000) == -1
        thread = threading.Thread(target=lambda: print("threads"))
        thread.start()
        thread.join()
        """,
        tmp_path,
    )
    assert said == "threads"


def test_limits_and_order_of_death(tmp_path):
    """No core dump, few open files, bounded files, no way to gain rights, and the first to go without memory."""
    said = jailed(
        """
        import resource
        status = Path("/proc/self/status").read_text()
        print(
            resource.getrlimit(resource.RLIMIT_CORE),
            resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 512,
            resource.getrlimit(resource.RLIMIT_FSIZE)[1] <= 2**30,
            "NoNewPrivs:\\t1" in status,
            "Seccomp:\\t2" in status,
            Path("/proc/self/oom_score_adj").read_text().strip(),
            os.getsid(0) == os.getpid(),
        )
        """,
        tmp_path,
    )
    assert said == "(0, 0) True True True True 800 True"


def test_a_process_that_may_use_the_network_can(tmp_path):
    """An engine whose manifest asks for the network gets sockets, and still nothing else."""
    (tmp_path / "run").mkdir()
    (tmp_path / "model.gguf").write_text("weights")
    script = PREAMBLE.replace("[model], folder)", "[model], folder, network=True)") + textwrap.dedent(
        """
        socket.create_server(("127.0.0.1", 0)).close()
        assert refused(lambda: open("/etc/passwd")) and refused(os.fork)
        print("networked")
        """
    )
    command = [sys.executable, "-I", "-c", script, str(tmp_path / "run"), str(tmp_path / "model.gguf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={}, check=False)
    assert done.stdout.strip() == "networked", done.stderr


def test_a_worker_shows_no_secret(tmp_path, monkeypatch):
    """A worker's environment, command line and open files hold nothing of the process that started it."""
    monkeypatch.setenv("LOCALAI_API_KEY", "CANARY-KEY")
    secret = (tmp_path / "state.db").open("w")
    folder = tmp_path / "run"
    folder.mkdir()
    worker = Worker(folder)
    try:
        worker.load(Model(name="echo", engine="echo"), Sizing())
        process = Path(f"/proc/{worker.process.pid}")
        assert b"CANARY" not in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        targets = [str(link.readlink()) for link in (process / "fd").iterdir()]
        assert not any("state.db" in target for target in targets)
    finally:
        worker.close()
        secret.close()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_program_is_well_formed(machine):
    """The filter is a whole number of instructions, ends by allowing, and every jump stays inside."""
    import struct

    code = filters.program(machine, network=False)
    steps = list(struct.iter_unpack("<HBBI", code))
    assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)
    for place, (kind, true, false, _) in enumerate(steps):
        if kind & 0x07 == 0x05:
            assert place + 1 + max(true, false) < len(steps)
    assert len(filters.program(machine, network=True)) < len(code)


def test_an_unknown_processor_is_told(monkeypatch):
    """Where the system call numbers are not known, no filter is written."""
    assert filters.program("pdp11", network=False) is None
