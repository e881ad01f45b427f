"""Starting a server for a test run, waiting for it, ending it; and what a missing one means."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def missing(service: str, reason: str) -> NoReturn:
    """A service that cannot be had is a skip on a laptop and a failure in CI."""
    message = f"{service} is not at hand: {reason}"
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(message + " (and CI is set)", pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], seconds: float, what: str, alive: Callable[[], bool] = lambda: True) -> None:
    """Poll until ready. Fails early when what is waited for has died."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not alive():
            raise RuntimeError(f"{what} has ended")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} is not ready after {seconds:.0f} s")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on this port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    ready: Callable[[], bool],
    seconds: float = 30,
    end: signal.Signals = signal.SIGKILL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, or this process dies, whichever comes first."""
    parent = os.getpid()

    def die_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, end)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    arguments = [str(part) for part in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    try:
        try:
            wait_until(ready, seconds, arguments[0], alive=lambda: process.poll() is None)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; its log ends:\n{log.read_text(errors='replace')[-3000:]}") from None
        yield process
    finally:
        process.send_signal(end)  # by this process's id; a reaped one is left alone
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
