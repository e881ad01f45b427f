"""One look at the newest event per process, however many streams listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from api.problems import Busy

log = structlog.get_logger(__name__)


class Tailer:
    """A thread that asks for the newest event's id while somebody listens, and wakes all listeners.

    Args:
        newest: reads the newest event's id from the registry.
        interval_s: between two looks; a nudge looks at once.
        limit: listeners that are let in at a time.
    """

    def __init__(self, newest: Callable[[], int], interval_s: float = 0.08, limit: int = 16) -> None:
        self._ask = newest
        self._interval_s = interval_s
        self._limit = limit
        self._changed = threading.Condition()
        self._nudged = threading.Event()
        self._listeners = 0
        self._thread: threading.Thread | None = None
        self._newest = 0
        self.stopping = False

    def enter(self) -> None:
        """Count a listener in. Raises Busy when the process has no room."""
        with self._changed:
            if self._listeners >= self._limit or self.stopping:
                raise Busy(f"this process serves {self._limit} event streams at a time")
            self._listeners += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="event-tailer", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """Count a listener out; the last one ends the thread."""
        with self._changed:
            self._listeners -= 1
        self._nudged.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Enter, and leave in any case."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    def nudge(self) -> None:
        """Something was written by this process: look now."""
        self._nudged.set()

    def stop(self) -> None:
        """End all streams soon. Safe in a signal handler: it takes no lock."""
        self.stopping = True

    def close(self) -> None:
        """Stop, and wait for the look that is under way."""
        self.stop()
        self._nudged.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout=10)

    def wait(self, seen: int, timeout_s: float) -> int:
        """The newest id, as soon as it is not ``seen`` any more; else after the timeout."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while self._newest == seen and not self.stopping:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.5))  # short, since stop() does not notify
            return self._newest

    def _run(self) -> None:
        while True:
            self._nudged.clear()
            with self._changed:
                if self._listeners == 0 or self.stopping:
                    self._thread = None
                    return
            pause = self._interval_s
            try:
                newest = self._ask()
            except Exception as error:  # noqa: BLE001 - the registry may be away for a while; streams only wait
                log.warning("event_tail_failed", error=type(error).__name__)
                newest, pause = self._newest, 1.0
            if newest != self._newest:
                with self._changed:
                    self._newest = newest
                    self._changed.notify_all()
            self._nudged.wait(pause)
