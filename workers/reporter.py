"""Phases and log lines of one build on their way to the farm, in a thread of their own: no build waits for them."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime

import structlog

from enginehouse.errors import EnginehouseError
from enginehouse.states import Phase
from enginehouse.work import Claim, LogBatch, PhaseUpdate, WorkLogLine
from workers.farm_client import FarmClient

_BATCH = 100
"""Lines in a send: at their longest they stay within what the farm takes as one body."""

_MOST_WAITING = 20_000
_PAUSE_S = 0.15
"""Between two sends: a short build's phases and lines go in few calls."""

_log = structlog.get_logger()


class Reporter:
    """Sends what a build says. A phase that the next one overtakes is not sent; a line always is, in order."""

    def __init__(self, client: FarmClient, claim: Claim) -> None:
        self._client = client
        self._claim = claim
        self._changed = threading.Condition()
        self._phase: Phase | None = None
        self._lines: deque[WorkLogLine] = deque()
        self._sequence = 0
        self._closing = False
        self._dead = False
        self._thread = threading.Thread(target=self._run, name=f"report-{claim.build}", daemon=True)
        self._thread.start()

    def phase(self, phase: Phase) -> None:
        """The build has entered a phase."""
        with self._changed:
            self._phase = phase
            self._changed.notify()

    def line(self, text: str) -> None:
        """The build has said something."""
        with self._changed:
            if len(self._lines) == _MOST_WAITING:
                text = "... the log is cut here: more lines came than could be sent"
            elif len(self._lines) > _MOST_WAITING:
                return
            self._sequence += 1
            self._lines.append(WorkLogLine(seq=self._sequence, time=datetime.now(UTC), text=text))
            self._changed.notify()

    def close(self, wait_s: float) -> None:
        """Send the rest; what is not through by then is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(wait_s)
        self._dead = True

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._phase is None and not self._lines and not self._closing:
                    self._changed.wait()
                phase, self._phase = self._phase, None
                lines = [self._lines.popleft() for _ in range(min(_BATCH, len(self._lines)))]
                closing = self._closing
                if closing:
                    phase = None  # complete or fail follows at once
            if closing and not lines:
                return
            if self._dead or not self._send(phase, lines):
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closing, _PAUSE_S)

    def _send(self, phase: Phase | None, lines: list[WorkLogLine]) -> bool:
        claim = self._claim
        try:
            if phase is not None:
                self._client.phase(claim.build, PhaseUpdate(fence=claim.fence, phase=phase), claim.request_id)
            if lines:
                self._client.log(claim.build, LogBatch(fence=claim.fence, lines=lines), claim.request_id)
        except EnginehouseError as error:
            # Stale, or the farm stays away: the heartbeat decides what becomes of the build.
            _log.warning("report.lost", build=claim.build, code=error.code, detail=error.detail)
            return False
        return True
