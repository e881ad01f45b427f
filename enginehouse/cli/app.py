"""The root command, and what happens around every command: errors, signals, closed pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from enginehouse import __version__
from enginehouse.cli.exit_codes import MEANINGS, ExitCode
from enginehouse.cli.lazy import Entry, LazyGroup

_HERE = "enginehouse.cli"
ENTRIES = {
    "submit": Entry(f"{_HERE}.submit", "submit", "Build a model for one or more targets."),
    "job": Entry(f"{_HERE}.job", "job", "List, show, wait for, cancel and retry jobs; read logs."),
    "batch": Entry(f"{_HERE}.batch", "batch", "Submit many jobs as one, and build artifacts again."),
    "compare": Entry(f"{_HERE}.compare", "compare", "Set two or more builds side by side."),
    "model": Entry(f"{_HERE}.model", "model", "Push, inspect and list models."),
    "dataset": Entry(f"{_HERE}.dataset", "dataset", "Push, list and show datasets."),
    "artifact": Entry(f"{_HERE}.artifact", "artifact", "List, download and verify artifacts."),
    "resolve": Entry(f"{_HERE}.resolve", "resolve", "Find the best proven artifact of MODEL for a host."),
    "fingerprint": Entry(f"{_HERE}.resolve", "fingerprint", "Print what this host is, as JSON."),
    "worker": Entry(f"{_HERE}.worker", "worker", "List, drain, pause and resume workers."),
    "pool": Entry(f"{_HERE}.pool", "pool", "List, pause and resume pools."),
    "admin": Entry(f"{_HERE}.admin", "admin", "Operate the farm: maintenance, quarantine, collection, audit."),
    "project": Entry(f"{_HERE}.project", "project", "Manage the farm's projects."),
    "person": Entry(f"{_HERE}.person", "person", "Enter, list and change persons."),
    "member": Entry(f"{_HERE}.member", "member", "List, set and remove the members of a project."),
    "token": Entry(f"{_HERE}.token", "token", "Create, list and revoke tokens."),
    "webhook": Entry(f"{_HERE}.webhook", "webhook", "Tell other systems of events: signed HTTP requests."),
    "up": Entry(f"{_HERE}.up", "up", "Run the embedded farm on this machine."),
    "doctor": Entry(f"{_HERE}.doctor", "doctor", "Check the address, the token and the farm's parts."),
}


class _Root(LazyGroup):
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's form
        """The environment and the exit codes."""
        with formatter.section("Environment"):
            formatter.write_dl(
                [
                    ("ENGINEHOUSE_URL", "the farm's address; without it the embedded farm's, then port 8470 here"),
                    ("ENGINEHOUSE_TOKEN", "the token"),
                    ("ENGINEHOUSE_HOME", "the embedded farm's folder; default ~/.enginehouse"),
                ]
            )
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANINGS.items()])


@click.group(
    cls=_Root,
    entries=ENTRIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Submit a model to a build farm and fetch proven, measured artifacts for each target.",
)
@click.option("--url", metavar="URL", help="The farm's address, instead of ENGINEHOUSE_URL.")
@click.version_option(__version__, prog_name="enginehouse")
@click.pass_context
def root(ctx: click.Context, url: str | None) -> None:
    """Keep the address for the command."""
    ctx.obj = url


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line: the command's exit status, a message on stderr and never a traceback for an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # In this mode click returns the status of ctx.exit(), else what the command returned.
        status = root.main(args=arguments, prog_name="enginehouse", standalone_mode=False)
        sys.stdout.flush()
        return int(status) if isinstance(status, int) else ExitCode.OK
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    except (BrokenPipeError, SystemExit):  # in this mode click exits itself for a closed pipe only
        # What is still buffered would raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ExitCode.PIPE_CLOSED
    except Exception as error:
        from enginehouse.cli.failures import show

        code = show(error)
        if code is None:
            raise
        return code
