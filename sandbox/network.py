"""No network, and no way out of the process group: a seccomp filter, written by hand.

The filter looks at system-call numbers and at the first argument of socket(2), never at memory, so nothing
can be changed between the check and the use. See seccomp(2) and linux/bpf_common.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
from dataclasses import dataclass

from sandbox._libc import prctl
from sandbox.privileges import no_new_privileges

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

# BPF operation codes: load a word at an absolute offset, jump if equal / if at least, return.
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE = 0x00050000 | errno.EACCES

# Offsets in struct seccomp_data. Both machines are little-endian: the argument's low half comes first.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

_X32_BIT = 0x40000000


@dataclass(frozen=True)
class _Calls:
    """A machine's audit architecture and the numbers of the calls that the filter looks at."""

    architecture: int
    socket: int
    refused: tuple[int, ...]


_MACHINES = {
    # refused: io_uring_setup (sockets without socket()), setpgid and setsid (leaving the group that is killed as
    # one), ptrace, process_vm_readv, process_vm_writev and pidfd_getfd (reaching into a neighbour of the same user)
    "x86_64": _Calls(0xC000003E, 41, (425, 109, 112, 101, 310, 311, 438)),
    "aarch64": _Calls(0xC00000B7, 198, (425, 154, 157, 117, 270, 271, 438)),
}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def instructions(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter as (code, jump if true, jump if false, value). Raises KeyError for a machine that it does not know."""
    calls = _MACHINES[machine]
    refused = calls.refused
    body = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, calls.architecture),
        (_RETURN, 0, 0, _KILL),  # another architecture's numbers mean other calls
        (_LOAD, 0, 0, _NUMBER),
    ]
    checks = [(_AT_LEAST, _X32_BIT)] if machine == "x86_64" else []
    checks += [(_EQUAL, number) for number in refused]
    # After the checks: [jump to allow unless socket] [load family] [is it AF_UNIX] [refuse] [allow]
    for index, (code, value) in enumerate(checks):
        to_refuse = len(checks) - index - 1 + 3
        body.append((code, to_refuse, 0, value))
    body += [
        (_EQUAL, 0, 3, calls.socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, socket.AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return body


def refuse_network() -> None:
    """Refuse socket() for every family but AF_UNIX, for this thread and all that it starts. Cannot be undone.

    Call it while the process has one thread. Raises OSError where the kernel has no seccomp.
    """
    body = instructions(platform.machine())
    program = _Program(len(body), (_Instruction * len(body))(*(_Instruction(*one) for one in body)))
    no_new_privileges()
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))
