"""One pass of retention: what an operator asks for, and what the scheduler does once an hour."""

from __future__ import annotations

import time
from threading import Thread

import structlog

from enginehouse.collection import Collection
from scheduler.farm import Farm
from scheduler.retention import collect, expiry, history

EVERY_S = 3600.0

log = structlog.get_logger(__name__)


def run(farm: Farm, *, dry_run: bool = False) -> Collection:
    """Expire, mark, remove. Any number may run at a time: each step asks again before it takes something.

    With ``dry_run`` nothing is changed. What only this pass would have made unneeded is not told of then.
    """
    done = Collection(dry_run=dry_run)
    expiry.expire(farm, done)
    history.forget(farm, done)
    collect.remove(farm, done)
    collect.mark(farm, done)
    collect.orphans(farm, done)
    if not dry_run:
        told = {"artifacts": done.artifacts.count, "removed": done.removed.count, "bytes": done.removed.bytes}
        log.info("retention.done", **told, unneeded=done.unneeded.count, orphans=done.orphans.count)
    return done


class Hourly:
    """Passes beside the scheduler's rounds: listing a large store takes minutes, and dispatch does not wait for it.

    A process that dies in the middle of one leaves what the next pass finds.
    """

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._thread: Thread | None = None
        self._began: float | None = None

    def look(self) -> None:
        """Begin a pass when an hour is over since the last began, and that one has ended."""
        due = self._began is None or time.monotonic() - self._began >= EVERY_S
        if due and (self._thread is None or not self._thread.is_alive()):
            self._began = time.monotonic()
            self._thread = Thread(target=self._pass, name="retention", daemon=True)
            self._thread.start()

    def _pass(self) -> None:
        try:
            run(self._farm)
        except Exception:
            log.exception("scheduler.retention_failed")  # the next pass tries again
