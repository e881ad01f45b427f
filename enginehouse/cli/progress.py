"""Progress on stderr: bars and a live table on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from enginehouse.cli.exit_codes import ExitCode
from enginehouse.cli.output import clean, note, size_text
from enginehouse.ladder import described
from enginehouse.sources import Progress, no_progress
from enginehouse.states import ENDED

if TYPE_CHECKING:
    from rich.table import Table

    from enginehouse.views import Event, JobView
    from enginehouse.watch import OnEvent

_VERBS = {"hash": "hashing", "upload": "uploading", "download": "downloading"}
LINE_EVERY_S = 5.0


@contextmanager
def transfer(what: str, quiet: bool) -> Iterator[Progress]:
    """A progress function for one push or download."""
    try:
        if quiet:
            yield no_progress
        elif sys.stderr.isatty():
            with _bars(what) as progress:
                yield progress
        else:
            yield TransferLines(what)
    except KeyboardInterrupt:
        click.echo("Interrupted. The same command again goes on where this one was.", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None


class TransferLines:
    """A line when a stage begins that lasts, every five seconds, and at its end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last: dict[str, float] = {}
        self._ended: set[str] = set()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """See ``enginehouse.sources.Progress``."""
        now = time.monotonic()
        ended = done >= total
        first = self._last.setdefault(stage, now)
        if stage == "hash" or (ended and stage in self._ended) or (not ended and now - first < LINE_EVERY_S):
            return
        self._last[stage] = now
        share = 100 if total == 0 else 100 * done // total
        if ended:
            self._ended.add(stage)
        note(f"{_VERBS.get(stage, stage)} {self._what}: {share}% of {size_text(total)}")


@contextmanager
def _bars(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(binary_units=True))
    with Bars(
        *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        tasks = {}

        def progress(stage: str, done: int, total: int) -> None:
            # Files follow one another; each stage shows the present one.
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{_VERBS.get(stage, stage)} {clean(what)}", total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield progress


class BuildStates:
    """What the events have told of each build of a job."""

    def __init__(self, job: JobView) -> None:
        self.job = job.id
        self.names = {build.id: described(build.target) for build in job.builds}
        self.states = {build.id: build.state.value for build in job.builds}
        self.says = {build.id: build.phase.value if build.phase else build.reason for build in job.builds}
        self.since = {build.id: time.monotonic() for build in job.builds}

    def update(self, event: Event) -> str | None:
        """The build whose state, phase or reason is another now."""
        build = event.build
        if build is not None and build not in self.names and event.kind == "build.created":  # a ladder's next rung
            self.names[build] = str(event.data.get("target", ""))
            self.states[build] = str(event.data.get("state", ""))
            self.says[build] = str(event.data.get("note", ""))
            self.since[build] = time.monotonic()
            return build
        if build is None or build not in self.names:
            return None
        before = (self.states[build], self.says[build])
        kind = event.kind.partition(".")[2]
        if kind == "created":
            return None
        if kind == "phase":
            self.says[build] = str(event.data.get("phase", ""))
        elif kind == "reason":
            self.says[build] = str(event.data.get("reason", ""))
        else:
            self.states[build] = str(event.data.get("state", kind))
            self.says[build] = str(event.data.get("reason") or event.data.get("origin") or "")
        return build if before != (self.states[build], self.says[build]) else None

    def line(self, build: str) -> str:
        """One build's state in a line."""
        says = self.says[build]
        return f"{self.names[build]}: {self.states[build]}" + (f" ({says})" if says else "")


@contextmanager
def builds(job: JobView, quiet: bool) -> Iterator[OnEvent | None]:
    """An event function for one wait."""
    if quiet:
        yield None
        return
    states = BuildStates(job)
    if not sys.stderr.isatty():

        def tell(event: Event) -> None:
            if (build := states.update(event)) is not None:
                note(states.line(build))

        yield tell
        return
    from rich.console import Console
    from rich.live import Live

    with Live(
        get_renderable=lambda: _live_table(states), console=Console(stderr=True), refresh_per_second=8, transient=True
    ):
        yield lambda event: _discard(states.update(event))


def _discard(_: object) -> None:
    """An event function answers nothing."""


def _live_table(states: BuildStates) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    styles = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
    now = time.monotonic()
    for build, name in states.names.items():
        state = states.states[build]
        elapsed = "" if state in ENDED else f"{now - states.since[build]:.0f} s"
        cells = (
            Text(clean(name)),
            Text(state, style=styles.get(state, "")),
            Text(elapsed),
            Text(clean(states.says[build])),
        )
        table.add_row(*cells)
    return table
