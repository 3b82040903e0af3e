"""A seccomp filter: system calls that no engine needs and every intruder wants are answered with an error.

No new processes (threads are fine), no program starts, no looking into other processes, no sockets but Unix ones.
The filter is a classic BPF program; the numbers are the kernel's system call tables.
"""

import ctypes
import errno
import os
import struct

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_DENY = 0x00050000 | errno.EPERM
_ABSENT = 0x00050000 | errno.ENOSYS
_LOAD, _EQUAL, _SET, _GREATER, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

# machine: (audit architecture, clone, clone3, socket, calls that are always refused)
_TABLES = {
    "x86_64": (
        0xC000003E,
        56,
        435,
        41,
        # fork vfork execve ptrace kexec_load process_vm_readv/writev init_module finit_module delete_module mount
        # umount2 pivot_root chroot unshare setns bpf perf_event_open userfaultfd keyctl add_key request_key
        # execveat io_uring_setup/enter/register open_by_handle_at pidfd_getfd
        (
            57,
            58,
            59,
            101,
            246,
            310,
            311,
            175,
            313,
            176,
            165,
            166,
            155,
            161,
            272,
            308,
            321,
            298,
            323,
            250,
            248,
            249,
            322,
            425,
            426,
            427,
            304,
            438,
        ),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        435,
        198,
        (
            221,
            117,
            104,
            270,
            271,
            105,
            273,
            106,
            40,
            39,
            41,
            51,
            97,
            268,
            280,
            241,
            282,
            219,
            217,
            218,
            281,
            425,
            426,
            427,
            265,
            438,
        ),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def install(*, network: bool) -> list[str]:
    """Install the filter on the calling thread; needs no-new-privileges.

    Returns:
        What could not be applied, in words.
    """
    code = program(os.uname().machine, network=network)
    if code is None:
        return ["system call filter (unknown processor)"]
    libc = ctypes.CDLL(None, use_errno=True)
    filled = _Program(length=len(code) // 8, code=code)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filled), 0, 0):
        return ["system call filter (refused by the kernel)"]
    return []


def program(machine: str, *, network: bool) -> bytes | None:
    """Write the filter for a processor: 8 bytes an instruction; None when its table is not known."""
    if machine not in _TABLES:
        return None
    architecture, clone, clone3, socket, refused = _TABLES[machine]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER, 0, 1, _X32),
        (_RETURN, 0, 0, _DENY),
        # clone3 hides its flags in memory: libraries fall back to clone, whose flags we can see.
        (_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _ABSENT),
    ]
    for number in refused:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    steps += [
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_SET, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    if not network:
        steps += [
            (_EQUAL, 0, 4, socket),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 1, 0, 1),
            (_RETURN, 0, 0, _DENY),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in steps)
