"""Errors on stderr: code, what is wrong, what to do; and the exit status that goes with each."""

from __future__ import annotations

import click

from enginehouse.cli.exit_codes import ExitCode
from enginehouse.cli.output import clean
from enginehouse.errors import EnginehouseError, Failure, Forbidden, NotFound, RequestError, Unauthenticated


def status_of(error: EnginehouseError) -> ExitCode:
    """The exit status of an error."""
    if isinstance(error, NotFound):
        return ExitCode.NOT_FOUND
    if isinstance(error, Unauthenticated | Forbidden):
        return ExitCode.DENIED
    if isinstance(error, RequestError):
        return ExitCode.REFUSED
    return ExitCode.UNREACHABLE


def show(error: Exception) -> ExitCode | None:
    """Print an error that has a message for people, and say its status; None for a bug of ours."""
    if isinstance(error, EnginehouseError):
        code = str(error.where.get("code", error.code))
        lines(code, error.detail, error.hint)
        if request_id := error.where.get("request_id"):
            click.echo(f"  request: {clean(str(request_id))}", err=True)
        return status_of(error)
    if isinstance(error, TimeoutError) and error.errno is None:
        click.echo(clean(str(error)), err=True)
        return ExitCode.TIMEOUT
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        click.echo(clean(f"Error: {place}{error.strerror or error}"), err=True)
        return ExitCode.LOCAL
    if isinstance(error, click.ClickException):
        error.show()
        return ExitCode(error.exit_code) if error.exit_code in set(ExitCode) else ExitCode.FAILED
    return None


def lines(code: str, detail: str, advice: str) -> None:
    """Code and detail, then the advice."""
    click.echo(f"Error {clean(code)}: {clean(detail, multiline=True)}", err=True)
    if advice:
        click.echo(f"  {clean(advice)}", err=True)


def show_failure(subject: str, failure: Failure) -> None:
    """A build's failure."""
    click.echo(f"{clean(subject)} failed, {clean(failure.code)}: {clean(failure.detail, multiline=True)}", err=True)
    if failure.advice:
        click.echo(f"  {clean(failure.advice)}", err=True)
