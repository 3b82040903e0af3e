"""The cage a worker enters before it touches a model: reads its model, writes its run folder, reaches nothing else.

Linux gets its own session, death with the parent, no new privileges, limits, Landlock and a seccomp filter.
Elsewhere the plain twin sets limits only. What could not be applied is returned, so that it can be told.
"""

import ctypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from localai.worker import filters, landlock

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OOM_SCORE = "800"
_OPEN_FILES = 512
_FILE_BYTES = 2**30

_SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory",
    "/proc/driver/nvidia",
    "/sys/devices",
    "/sys/class/drm",
    "/sys/class/kfd",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
)
_DEVICES = ("/dev/null", "/dev/dri", "/dev/kfd", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")


def enter(files: Iterable[str], folder: Path, *, network: bool = False) -> tuple[str, ...]:
    """Lock this process up for good. Call it once, before any thread is started.

    Args:
        files: The model's files, the only data that stays readable.
        folder: The run folder, the only place that stays writable; becomes HOME and TMPDIR.
        network: Leave internet sockets usable, for an engine whose manifest asks for them.

    Returns:
        What could not be applied here, in words; empty when everything holds.
    """
    os.umask(0o077)
    os.environ["HOME"] = os.environ["TMPDIR"] = str(folder)
    missing = _limit()
    if sys.platform != "linux":
        return (*missing, "no file system, network and process confinement on this platform")
    missing += _bind_to_parent()
    readable = [*_SYSTEM, *_python(), *(os.path.realpath(file) for file in files)]
    missing += landlock.restrict(readable, [*_DEVICES, *_cards()], folder, network=network)
    missing += filters.install(network=network)
    return tuple(missing)


def _limit() -> list[str]:
    limits = {
        "core dumps": (resource.RLIMIT_CORE, 0),
        "open files": (resource.RLIMIT_NOFILE, _OPEN_FILES),
        "file size": (resource.RLIMIT_FSIZE, _FILE_BYTES),
    }
    missing: list[str] = []
    for name, (kind, wanted) in limits.items():
        _, hard = resource.getrlimit(kind)
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(kind, (bound, bound))
        except (OSError, ValueError):
            missing.append(f"limit of {name}")
    return missing


def _bind_to_parent() -> list[str]:
    """Take a session of our own, die with the parent, never gain rights, and be the first to go without memory."""
    missing: list[str] = []
    if os.getsid(0) != os.getpid():
        try:
            os.setsid()
        except OSError:
            missing.append("own session")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        missing.append("death with the parent")
    if os.getppid() <= 1 and os.getpid() > 2:
        # The parent went away before the kernel knew that we want to follow it.
        os._exit(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        missing.append("no new privileges")
    try:
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    except OSError:
        missing.append("out-of-memory score")
    return missing


def _python() -> Sequence[str]:
    """Folders that imports may read: the interpreter, its libraries and what is on its path."""
    folders = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *sys.path}
    return sorted(folder for folder in folders if folder and Path(folder).is_absolute())


def _cards() -> list[str]:
    return [str(path) for path in Path("/dev").glob("nvidia[0-9]*")]
