"""One build at a time on each GPU of this machine: builds beside each other would disturb each other's timings.

The locks are files that every worker of the machine looks at, one per GPU, named by its UUID.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workers.lockfile import open_lock
from workers.probe.nvidia import Card

_POLL_S = 0.1


@contextmanager
def one_of(cards: Sequence[Card], given_up: Callable[[], bool], folder: Path | None = None) -> Iterator[Card | None]:
    """Hold a GPU that nobody builds on, waited for when need be. Yields None when it was given up, or there is none.

    ``folder``: where the lock files lie; by default the machine's folder for temporary files.
    """
    folder = folder or Path(tempfile.gettempdir())
    while cards and not given_up():
        for card in cards:
            handle = open_lock(folder / f"enginehouse-{card.uuid}.lock")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            try:
                yield card
            finally:
                os.close(handle)
            return
        time.sleep(_POLL_S)
    yield None
