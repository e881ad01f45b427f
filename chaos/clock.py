"""A wrong clock for one process: a small library, preloaded, that adds a number of seconds which can be changed."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")
_TRY_S = 86_400
_NEAR_S = 3_600


class NoClock(Exception):
    """The clock of a process cannot be moved here; the message says why."""


class Clock:
    """The moved clock of whatever is started with ``environment``."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NoClock("no C compiler is on PATH")
        folder.mkdir(parents=True)
        self._file = folder / "offset"
        self._library = folder / "clock.so"
        self.move(0)
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE), "-ldl"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise NoClock(f"the library cannot be compiled: {made.stderr.strip()[-300:]}")
        self._prove()

    @property
    def environment(self) -> dict[str, str]:
        """For the process whose clock it is."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)}

    def move(self, seconds: int) -> None:
        """From now on its clock is so far ahead (negative: behind)."""
        content = struct.pack("=q", seconds)
        if self._file.exists():
            with self._file.open("r+b") as file:  # the same file, since it is mapped
                file.write(content)
        else:
            self._file.write_bytes(content)

    def _prove(self) -> None:
        self.move(_TRY_S)
        command = [sys.executable, "-I", "-S", "-c", "import time; print(time.time())"]
        said = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout
        self.move(0)
        try:
            ahead = float(said) - time.time()
        except ValueError:
            raise NoClock("a program does not run with the library preloaded") from None
        if abs(ahead - _TRY_S) > _NEAR_S:
            raise NoClock("the library is preloaded, and the clock stays as it is")
