"""Runs in front of every part: ask the kernel for a signal when the supervisor dies, then become the part.

Run as a file (``python -I -S child.py PARENT SIGNAL PROGRAM ARGUMENT…``), so that it starts within milliseconds and
needs none of our packages. A ``preexec_fn`` would do the same between fork and exec, where Python is not safe in
a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Never returns."""
    parent, number, *program = arguments
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise SystemExit("prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(parent):  # it died before we had asked
        raise SystemExit("the supervisor is gone")
    os.execvp(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
