"""Live progress: one line per build on a terminal, one line per change where there is none."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from enginehouse.states import BuildState
from enginehouse.views import Event, JobView


class Live:
    """Hears the job's events; a context manager while it draws."""

    def __init__(self, console: Console, job: JobView) -> None:
        self._console = console
        self._targets = {build.id: str(build.target) for build in job.builds}
        self._said: dict[str, str] = {}
        columns = (SpinnerColumn(), TextColumn("{task.description:<20}"), TextColumn("{task.fields[doing]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            for build, target in self._targets.items():
                self._tasks[build] = self._progress.add_task(target, total=None, start=False, doing="waiting")
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def hear(self, event: Event) -> None:
        """Show what an event says of a build; other events say nothing here."""
        if event.build not in self._targets or not event.kind.startswith("build."):
            return
        doing = str(event.data.get("phase") or event.data.get("reason") or event.kind.removeprefix("build."))
        if self._said.get(event.build) == doing:
            return
        self._said[event.build] = doing
        if not self._console.is_terminal:
            self._console.print(f"  {self._targets[event.build]}: {doing}", highlight=False)
            return
        task = self._tasks[event.build]
        self._progress.update(task, doing=doing)
        if event.kind == f"build.{BuildState.RUNNING}":
            self._progress.start_task(task)
        if event.kind in {f"build.{state}" for state in ("succeeded", "failed", "cancelled")}:
            self._progress.stop_task(task)
