"""A build's log, read page by page, and followed over all its attempts until the build ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from enginehouse.states import ENDED
from enginehouse.views import BuildView, LogLine, LogPage

LOOK_S = 0.3
"""Between two looks for new lines; workers send theirs about as often."""


class LogReader(Protocol):
    """What following needs: ``client.builds``."""

    def get(self, build: str) -> BuildView:
        """The build."""

    def log_page(self, build: str, after: int = 0, attempt: int | None = None) -> LogPage:
        """Lines of one attempt after a sequence number."""


def follow_log(builds: LogReader, build: str, follow: bool = False, attempt: int | None = None) -> Iterator[LogLine]:
    """Lines of the attempt, by default the newest; with ``follow`` as they come, and those of later attempts too."""
    number, after = attempt, 0
    while True:
        page = builds.log_page(build, after, number)
        yield from page.lines
        after = page.lines[-1].seq if page.lines else after
        number = number if number is not None else page.attempt or None
        if page.ended:
            if not follow or attempt is not None:
                return
            view = builds.get(build)
            newest = view.attempts[-1].number if view.attempts else 0
            if newest > (number or 0):
                number, after = newest, 0
                continue
            if view.state in ENDED:
                return
        elif not follow:
            if not page.lines:
                return
            continue
        time.sleep(LOOK_S)
