"""What `localai doctor` looks at on this machine: each check is a function that returns its findings."""

import ctypes
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from localai.cli.units import size

if TYPE_CHECKING:
    from localai.config import Settings

DISK_LOW = 2 * 10**9
"""Bytes of free disk under which a model may not fit."""
MEMORY_LOW = 10**9
"""Bytes of free memory under which only tiny models run."""
IMPORT = 60.0
"""Seconds an engine's libraries may take to load."""
REINSTALL = "`pip install --force-reinstall localai-server`"
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_VERSION = 1


@dataclass(frozen=True)
class Check:
    """One finding: `ok`, `warn` (works, but less well) or `fail`, with what to do about it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def python(_: "Settings") -> Iterator[Check]:
    """The interpreter."""
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def processor(_: "Settings") -> Iterator[Check]:
    """What the CPU can do: text models run several times faster with AVX2."""
    flags = cpu_flags(_read("/proc/cpuinfo"))
    count = f"{os.cpu_count()} CPUs"
    if not flags:
        yield Check("processor", "ok", f"{platform.machine()}, {count}; its features are not listed on this system")
        return
    found = [name for name, flag in (("AVX2", "avx2"), ("AVX-512", "avx512f"), ("NEON", "asimd")) if flag in flags]
    slow = platform.machine() in ("x86_64", "AMD64") and "AVX2" not in found
    detail = f"{platform.machine()}, {count}, {', '.join(found) or 'no vector extension'}"
    if slow:
        yield Check("processor", "warn", detail, "a CPU with AVX2; without it answers take several times longer.")
    else:
        yield Check("processor", "ok", detail)


def cpu_flags(cpuinfo: str) -> set[str]:
    """The feature flags in the text of /proc/cpuinfo ("flags" on x86, "Features" on ARM)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def memory(chosen: "Settings") -> Iterator[Check]:
    """The memory that models can have."""
    total, free = meminfo(_read("/proc/meminfo"))
    if not total:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield Check("memory", "ok", f"{size(total)} in all; how much is free is not listed on this system")
        return
    given = f", {size(chosen.memory)} of it for models by the setting `memory`" if chosen.memory else ""
    detail = f"{size(free)} free of {size(total)}{given}"
    if free < MEMORY_LOW:
        yield Check("memory", "warn", detail, "end other programs; `localai ps` shows what models take.")
    else:
        yield Check("memory", "ok", detail)


def meminfo(text: str) -> tuple[int, int]:
    """Total and available bytes in the text of /proc/meminfo; zeros where it is not there."""
    found = {line.split(":")[0]: line.split()[1] for line in text.splitlines() if len(line.split()) > 1}
    return int(found.get("MemTotal", 0)) * 1024, int(found.get("MemAvailable", 0)) * 1024


def disk(chosen: "Settings") -> Iterator[Check]:
    """The room for more models."""
    folder = next(place for place in (chosen.home, *chosen.home.absolute().parents) if place.exists())
    free = shutil.disk_usage(folder).free
    if free < DISK_LOW:
        yield Check(
            "disk", "warn", f"{size(free)} free in {folder}", "`localai rm MODEL`, or LOCALAI_HOME on another disk."
        )
    else:
        yield Check("disk", "ok", f"{size(free)} free in {folder}")


def home(chosen: "Settings") -> Iterator[Check]:
    """Whether the home can be written to, and by nobody else."""
    if not chosen.home.exists():
        yield Check("home", "ok", f"{chosen.home} is made at the first start")
        return
    for folder in (chosen.home, chosen.models, chosen.blobs, chosen.run):
        if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Check("home", "fail", f"{folder} cannot be written to", f"`sudo chown -R $USER '{chosen.home}'`")
    private = ((chosen.home, 0o700), (chosen.run, 0o700), (chosen.admin_key, 0o600), (chosen.database, 0o600))
    open_ones = [(path, mode) for path, mode in private if exposed(path)]
    for path, mode in open_ones:
        yield Check("home", "warn", f"{path} can be used by others", f"`chmod {mode:o} '{path}'`")
    if not open_ones:
        yield Check("home", "ok", f"{chosen.home} is private")


def exposed(path: Path) -> bool:
    """Whether the group or others have any right on a file or folder that exists."""
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def engines(_: "Settings") -> Iterator[Check]:
    """Whether the programs that run models can be loaded, each tried in a process of its own as when it is used."""
    from localai.loader.manifest import manifests

    known = manifests()
    for entry in sorted(entry_points(group="localai.engines.v1"), key=lambda entry: entry.name):
        manifest = known.get(entry.name)
        if manifest is None:
            yield Check(f"engine {entry.name}", "fail", f"its manifest {entry.name}.toml is missing", REINSTALL)
            continue
        trouble = trial(entry.module)
        package = f"localai-server[{manifest.extra}]" if manifest.extra else "localai-server"
        if trouble:
            fix = f"`pip install --force-reinstall '{package}'`"
            yield Check(f"engine {entry.name}", "warn" if manifest.extra else "fail", trouble, fix)
        else:
            yield Check(f"engine {entry.name}", "ok", manifest.summary)


def trial(module: str) -> str:
    """Import a module in a process of its own; what went wrong, or nothing."""
    command = [sys.executable, "-I", "-c", f"import importlib; importlib.import_module({module!r})"]
    try:
        code = subprocess.run(command, capture_output=True, timeout=IMPORT, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"{module} does not load within {IMPORT:.0f} s"
    if code < 0:
        return f"loading {module} ends with signal {-code}; it may need another CPU"
    return f"{module} or a library it needs is not installed" if code else ""


def jail(_: "Settings") -> Iterator[Check]:
    """How far the processes that run models can be locked in."""
    version = landlock()
    if version > 0:
        yield Check("jail", "ok", f"Landlock version {version}: a model's process reads its model and nothing else")
    else:
        fix = "a Linux kernel from 5.13 on with Landlock enabled." if sys.platform == "linux" else ""
        yield Check("jail", "warn", "no Landlock here: a model's process may read files of this user", fix)


def landlock() -> int:
    """The version of Landlock's interface (Linux, landlock_create_ruleset(2)); 0 where there is none."""
    if sys.platform != "linux":
        return 0
    library = ctypes.CDLL(None, use_errno=True)
    return max(
        0, library.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION))
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


LOCAL: tuple[Callable[["Settings"], Iterator[Check]], ...] = (
    python,
    processor,
    memory,
    disk,
    home,
    engines,
    jail,
)
"""The checks that need no network."""
