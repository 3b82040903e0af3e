"""What this machine has for models: cores, memory and their limits by the container it runs in.

Linux reads /proc and the control groups (both versions). Elsewhere the twin asks sysconf, which knows the memory
there is, not the memory that is free: half of it is taken to be.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

LINUX = sys.platform == "linux"

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NONE = 2**60
"""Control groups say "no limit" with a number near 2**63."""


def threads() -> int:
    """Cores worth computing on: physical ones among those this process may use, within the quota of its container."""
    allowed = os.sched_getaffinity(0) if LINUX else set(range(os.cpu_count() or 1))
    cores = {_core(cpu) for cpu in allowed}
    quota = min(_quotas(), default=float(len(cores)))
    return max(1, min(len(cores), int(quota)))


def total() -> int:
    """Bytes of memory of the machine, or of the container when that is less."""
    page = os.sysconf("SC_PAGE_SIZE")
    return min([os.sysconf("SC_PHYS_PAGES") * page, *(limit for limit, _ in _limits())])


def available() -> int:
    """Bytes of memory that could be taken now without hurting anybody else."""
    if not LINUX:
        return total() // 2
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = int(found[1]) * 1024 if found else total() // 2
    return min([free, *(max(limit - used, 0) for limit, used in _limits())])


def held(pid: int) -> int:
    """Bytes that would become available if that process ended: what is its own, not file pages it has mapped."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/status").read_text()
        return sum(int(kib) * 1024 for kib in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", text, re.MULTILINE))
    return 0


def _core(cpu: int) -> tuple[str, str]:
    """What tells the physical core of a logical one; the number itself where the system does not say."""
    folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        return (folder / "physical_package_id").read_text(), (folder / "core_id").read_text()
    except OSError:
        return "", str(cpu)


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of all above it, for one controller (version 2 or 1)."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = _GROUPS / controller if names else _GROUPS
        folder = root / path.lstrip("/")
        # In a container the path may be that of the host: then only the root is there, and it is our own group.
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root) and each.is_dir())


def _limits() -> Iterator[tuple[int, int]]:
    """Limit and use of memory, in bytes, of every group that has a limit. File pages count as free."""
    for group in _groups("memory"):
        for limit, used, inactive in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, taken = _number(group / limit), _number(group / used)
            if most is not None and taken is not None and most < _NONE:
                yield most, taken - _statistic(group / "memory.stat", inactive)


def _quotas() -> Iterator[float]:
    """Cores' worth of time that each group with a quota may use."""
    for group in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            yield quota / period


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _statistic(file: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0
