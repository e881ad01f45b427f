"""Where a process may write, and whom it may signal: Landlock, where the kernel has it (Linux 5.13 and later)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from sandbox._libc import syscall
from sandbox.privileges import no_new_privileges

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

_WRITE_FILE = 1 << 1
# write a file, remove a folder, remove a file, make char, dir, reg, sock, fifo, block, sym
_WRITES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14  # since versions 2 and 3
_SCOPES = 0b11  # abstract unix sockets, signals: only within the sandbox (since version 6)


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version, 0 where there is none."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict_writes(folders: Iterable[Path], files: Iterable[Path] = (Path("/dev/null"),)) -> bool:
    """Let this thread and all that it starts write only beneath ``folders`` and to ``files``. False: no Landlock here.

    From version 6 on it also cannot signal a process outside.
    """
    known = version()
    if not known:
        return False
    access = _WRITES | (_REFER if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)
    attributes = _Ruleset(access, 0, _SCOPES)
    # An older kernel takes a shorter struct: 8 bytes, 16 from version 4, 24 from version 6.
    size = 24 if known >= 6 else 8
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for folder in folders:
            _allow(ruleset, folder, access)
        for file in files:
            if file.exists():
                _allow(ruleset, file, access & (_WRITE_FILE | _TRUNCATE))
        no_new_privileges()
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, access: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(access, handle)
        syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)
