"""``enginehouse batch``: submit, rebuild, list, show, wait, cancel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import artifact_id, farm, json_option, model_id, more, paging, quiet_option

if TYPE_CHECKING:
    from enginehouse.batch import BatchView
    from enginehouse.client import Client

_LOOK_S = 2.0
_PLACEHOLDER = "0" * 64


@click.group()
def batch() -> None:
    """Submit many jobs as one, and build artifacts again."""


@batch.command()
@click.argument("manifest", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the end of all jobs.")
@json_option
@quiet_option
def submit(manifest: Path, wait: bool, as_json: bool, quiet: bool) -> None:
    """Submit the models of a MANIFEST (TOML or JSON) for its targets. All are accepted, or none.

    Models that are files are pushed first; docs/batches.md describes the file.
    """
    from enginehouse.cli.progress import transfer
    from enginehouse.client import job_request
    from enginehouse.manifest import read_manifest

    name, entries = read_manifest(manifest)
    # All that can be wrong with the requests is found before a model is pushed.
    requests = [job_request(**{"model": _PLACEHOLDER, **entry.fields}) for entry in entries]
    with farm() as client:
        jobs = []
        for entry, request in zip(entries, requests, strict=True):
            if entry.path is not None:
                with transfer(entry.path.name, quiet) as progress:
                    model = client.models.push(entry.path, progress=progress).id
            else:
                model = model_id(client, str(entry.id))
            jobs.append(request.model_copy(update={"model": model}))
        _finish(client, client.batches.submit(jobs, name[:200]), wait, as_json, quiet)


@batch.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option(
    "--require", "requires", multiple=True, metavar="TERM",
    help="A tag or constraint that the new builds' worker must meet, for example 'openvino>=2026.4'. Repeat it.",
)  # fmt: skip
@click.option("--max-slowdown", type=click.FloatRange(0, 1, max_open=True), default=0.05, show_default=True,
              help="Largest loss of the speed-up over the source model, as a share.")  # fmt: skip
@click.option("--max-sqnr-loss-db", type=click.FloatRange(0), default=1.0, show_default=True,
              help="Largest loss of signal to noise, decibels.")  # fmt: skip
@click.option("--name", default="", help="The batch's name, for people.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the end of all jobs.")
@json_option
@quiet_option
def rebuild(
    artifacts: tuple[str, ...],
    requires: tuple[str, ...],
    max_slowdown: float,
    max_sqnr_loss_db: float,
    name: str,
    wait: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build ARTIFACTs again as they were asked for, and promote what has not become worse.

    The bounds come from each artifact's own report; what misses them fails, and is kept as evidence.
    """
    with farm() as client:
        view = client.batches.rebuild(
            [artifact_id(client, one) for one in artifacts],
            name=name,
            requires=list(requires),
            max_slowdown=max_slowdown,
            max_sqnr_loss_db=max_sqnr_loss_db,
        )
        _finish(client, view, wait, as_json, quiet)


@batch.command("list")
@paging
@json_option
def list_(limit: int, after: str | None, as_json: bool) -> None:
    """List batches, newest first."""
    from enginehouse.cli.output import age_text, print_json, print_table

    with farm() as client:
        page = client.batches.list(limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [[one.id, one.name, one.state, _counts(one), age_text(one.created)] for one in page.items]
        print_table(["batch", "name", "state", "jobs", "age"], rows)
        more(page.next)


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@json_option
def show(batch_id: str, as_json: bool) -> None:
    """Show a batch with its jobs."""
    with farm() as client:
        _print(client.batches.get(batch_id), as_json)


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@json_option
@quiet_option
def wait(batch_id: str, as_json: bool, quiet: bool) -> None:
    """Wait until every job of a batch has ended."""
    with farm() as client:
        _finish(client, client.batches.get(batch_id), True, as_json, quiet)


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@json_option
def cancel(batch_id: str, as_json: bool) -> None:
    """Cancel all jobs of a batch that have not ended."""
    with farm() as client:
        _print(client.batches.cancel(batch_id), as_json)


def _finish(client: Client, view: BatchView, wait: bool, as_json: bool, quiet: bool) -> None:
    from enginehouse.cli.exit_codes import ExitCode
    from enginehouse.cli.output import clean, note
    from enginehouse.states import JOB_ENDED, JobState

    note(f"batch {view.id}: {len(view.jobs)} jobs, {_counts(view)}", quiet)
    if wait:
        try:
            while view.state not in JOB_ENDED:
                time.sleep(_LOOK_S)
                before, view = _counts(view), client.batches.get(view.id)
                if _counts(view) != before:
                    note(_counts(view), quiet)
        except KeyboardInterrupt:
            click.echo(f"\nBatch {clean(view.id)} goes on: enginehouse batch wait {clean(view.id)}", err=True)
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    elif not as_json:
        click.echo(view.id)
        return
    _print(view, as_json)
    status = {JobState.FAILED: ExitCode.FAILED, JobState.CANCELLED: ExitCode.CANCELLED}
    raise click.exceptions.Exit(status.get(view.state, ExitCode.OK))


def _print(view: BatchView, as_json: bool) -> None:
    from enginehouse.cli.output import clean, print_json, print_table, short

    if as_json:
        print_json(view)
        return
    click.echo(clean(f"{view.id}  {view.name}  {view.state}: {_counts(view)}"))
    print_table(
        ["job", "name", "model", "state"], [[one.id, one.name, short(one.model), one.state] for one in view.jobs]
    )


def _counts(view: BatchView) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(view.counts.items()))
