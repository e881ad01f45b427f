"""One part of the farm as an operating-system process in a session of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

_CHILD = Path(__file__).with_name("child.py")
_TAIL_BYTES = 16_384
_LOOK_S = 0.02


@dataclass(frozen=True)
class Part:
    """How a part is run. ``stdin``: text that it reads (secrets that must not be on the command line)."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    stdin: str = field(default="", repr=False)
    folder: Path | None = None
    """Its working folder; None: this process's."""
    grace_s: float = 5.0
    """How long it may take to stop before it is killed."""
    orphaned: signal.Signals = signal.SIGTERM
    """What it gets when the supervisor dies."""
    stopped: signal.Signals = signal.SIGTERM
    """What it is told to stop with."""

    def with_environment(self, more: Mapping[str, str]) -> Part:
        """The same part, told more."""
        return replace(self, environment={**self.environment, **more})


class Process:
    """A part and its present process, if it has one.

    It is waited for only in ``reap``, after its session was killed: until then even a dead process keeps its id, so
    that no signal of ours can reach a stranger.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.failures = 0
        self.started = 0.0
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The part's name, for example ``worker-1``."""
        return self.part.name

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        popen = self._popen
        return popen.pid if popen is not None and self.ended() is None else None

    def start(self) -> None:
        """Start it. Call only from a thread that lives as long as the farm: the kernel ties the child to the thread."""
        part = self.part
        in_front = [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), str(int(part.orphaned))]
        with part.log.open("ab") as log:
            popen = subprocess.Popen(
                [*in_front, *part.command],
                stdin=subprocess.PIPE if part.stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(part.environment),
                cwd=part.folder,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone, which stops all in order
            )
        if popen.stdin is not None:
            with suppress(BrokenPipeError), popen.stdin as stdin:
                stdin.write(part.stdin.encode())
        with self._lock:
            self._popen = popen
            self.started = time.monotonic()

    def ended(self) -> int | None:
        """The exit status if it has ended (negative: a signal), else None. None before the first start."""
        with self._lock:
            return self._ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it runs."""
        with self._lock:
            if self._popen is not None and self._ended() is None:
                os.kill(self._popen.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        deadline = time.monotonic() + timeout_s
        while self._popen is not None and self.ended() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def reap(self) -> None:
        """End it and what is left of its session."""
        with self._lock:
            if self._popen is None or self._popen.returncode is not None:
                return
            with suppress(ProcessLookupError, PermissionError):  # nobody left, or only the dead
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def _ended(self) -> int | None:
        popen = self._popen
        if popen is None or popen.returncode is not None:
            return popen.returncode if popen is not None else None
        result = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        with suppress(OSError), self.part.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])
        return ""


def died(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
