"""A child that stands still while another build is timed on its cores."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.cores import taken_from

LONGEST_S = 900.0
"""Nobody stands still longer than this for one timing: whoever holds the cores then hangs."""


class Pause:
    """Stops and continues a process group. ``total_s``: how long it stood still, all together."""

    def __init__(
        self,
        group: int,
        cores: Sequence[Path],
        clock: Callable[[], float] = time.monotonic,
        signal_group: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self.group, self.cores = group, cores
        self._clock, self._signal_group = clock, signal_group
        self._since: float | None = None
        self._weary = False
        self._before_s = 0.0

    @property
    def total_s(self) -> float:
        """Seconds so far, those of now included."""
        return self._before_s + (0.0 if self._since is None else self._clock() - self._since)

    def look(self) -> None:
        """Stop or continue, as the cores are."""
        if not taken_from(self.group, self.cores):
            self._weary = False
            self.end()
        elif self._since is not None and self._clock() - self._since > LONGEST_S:
            self._weary = True
            self.end()
        elif not self._weary:
            self._since = self._clock() if self._since is None else self._since
            self._send(signal.SIGSTOP)  # each time: it may have had no group yet, or been continued

    def end(self) -> None:
        """Continue, if it stands still."""
        if self._since is not None:
            self._before_s = self.total_s
            self._since = None
            self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended, or does not lead its group yet
            self._signal_group(self.group, number)
