"""prctl() and syscall() through ctypes: the few calls that Python has no name for."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_libc.prctl.restype = ctypes.c_int
_libc.syscall.restype = ctypes.c_long


def prctl(option: int, *arguments: int) -> int:
    """prctl(2). Raises OSError."""
    values = (*arguments, 0, 0, 0, 0)[:4]
    result: int = _libc.prctl(option, *values)
    return _checked(result, f"prctl {option}")


def syscall(number: int, *arguments: object) -> int:
    """syscall(2); integers go as 64-bit, everything else as ctypes has it. Raises OSError."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *values)
    return _checked(result, f"syscall {number}")


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result
