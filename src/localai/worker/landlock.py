"""Landlock by its three system calls: which paths this process may still read and write, and no TCP.

Source: the kernel's userspace-api/landlock documentation. Rights unknown to the running kernel are left out, by
the version ("ABI") it reports.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_MAKE_SPECIAL = (1 << 6) | (1 << 11)
"""Device files: never made, not even in the run folder."""
_EXECUTE = 1 << 0
_TCP = (1 << 0) | (1 << 1)
_SCOPES = (1 << 0) | (1 << 1)


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(readable: Iterable[str], devices: Iterable[str], folder: Path, *, network: bool) -> list[str]:
    """Confine the calling thread (and what it starts) to these paths.

    Args:
        readable: Files and folders to read; what does not exist is passed over.
        devices: Device files to read, write and control.
        folder: The folder to do everything in, except executing and making devices.
        network: Leave TCP alone.

    Returns:
        What could not be applied, in words.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))
    if version < 1:
        return ["file system and network confinement (no Landlock in this kernel)"]
    everything = _ALL_BY_ABI[max(known for known in _ALL_BY_ABI if known <= version)]
    rules = _Ruleset(
        fs=everything,
        net=_TCP if version >= 4 and not network else 0,
        scoped=_SCOPES if version >= 6 else 0,
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = int(libc.syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0))
    if ruleset < 0:
        return ["file system and network confinement (Landlock refused)"]
    try:
        reading = _READ_FILE | _READ_DIR
        controlling = (reading | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & everything
        grants = [(path, reading) for path in readable]
        grants += [(path, controlling) for path in devices]
        grants.append((str(folder), everything & ~_EXECUTE & ~_MAKE_SPECIAL))
        for path, access in grants:
            _allow(libc, ruleset, path, access)
        if libc.syscall(_RESTRICT_SELF, ruleset, 0):
            return ["file system and network confinement (Landlock refused)"]
    finally:
        os.close(ruleset)
    return _weaker(version, network=network)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            access &= _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
        rule = _Beneath(access=access, parent=handle)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)


def _weaker(version: int, *, network: bool) -> list[str]:
    missing: list[str] = []
    if version < 4 and not network:
        missing.append("TCP confinement (needs Landlock 4, Linux 6.7)")
    if version < 6:
        missing.append("signal and abstract socket confinement (needs Landlock 6, Linux 6.12)")
    return missing
