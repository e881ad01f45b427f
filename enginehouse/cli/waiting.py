"""Waiting for a job: progress, Ctrl-C that leaves the job running, the exit status of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.exit_codes import ExitCode
from enginehouse.cli.output import clean
from enginehouse.cli.progress import builds
from enginehouse.states import JobState

if TYPE_CHECKING:
    from enginehouse.client import Client
    from enginehouse.views import JobView

_STATUS = {
    JobState.SUCCEEDED: ExitCode.OK,
    JobState.FAILED: ExitCode.FAILED,
    JobState.CANCELLED: ExitCode.CANCELLED,
}


def wait_for(farm: Client, job: JobView | str, quiet: bool, timeout: float | None = None) -> JobView:
    """The ended job. Interrupted or out of time, the job goes on, and the message says how to come back."""
    name = job if isinstance(job, str) else job.id
    try:
        if isinstance(job, str):
            job = farm.jobs.get(job)
        with builds(job, quiet) as on_event:
            return farm.jobs.wait(job, timeout=timeout, on_event=on_event)
    except KeyboardInterrupt:
        click.echo(f"\nJob {clean(name)} goes on.\n{how_to_go_on(name)}", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except TimeoutError as error:
        click.echo(f"{clean(str(error))}.\n{how_to_go_on(name)}", err=True)
        raise click.exceptions.Exit(ExitCode.TIMEOUT) from None


def how_to_go_on(job: str) -> str:
    """The commands that pick a job up again."""
    return f"  enginehouse job wait {clean(job)}    waits again\n  enginehouse job cancel {clean(job)}  stops it"


def status_of(job: JobView) -> ExitCode:
    """The exit status of an ended job."""
    return _STATUS.get(job.state, ExitCode.OK)
