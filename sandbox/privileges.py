"""What a process may do to others: capabilities, the death of its parent, who may look into it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal

from sandbox._libc import prctl, syscall

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522


def die_with_parent(parent: int) -> None:
    """Be killed when the process ``parent`` (our parent) dies. Exits at once where it is dead already."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def no_new_privileges() -> None:
    """No setuid program gives this process or its children anything. Needed before a seccomp filter."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide() -> None:
    """Keep others of the same user out of this process's memory and /proc/PID/environ."""
    prctl(_PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability for good, so that root inside a container is an ordinary user."""
    for capability in range(64):
        # EINVAL: the kernel has no such capability. EPERM: we have none to drop.
        with contextlib.suppress(OSError):
            prctl(_PR_CAPBSET_DROP, capability)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    syscall(_CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref(data))
