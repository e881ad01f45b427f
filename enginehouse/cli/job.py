"""``enginehouse job``: list, show, wait, cancel, retry, clone, priority, logs, attachments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import farm, json_option, more, paging, quiet_option

if TYPE_CHECKING:
    from enginehouse.client import Client
    from enginehouse.gates import Gates
    from enginehouse.views import JobView

_STATES = ["waiting", "running", "cancelling", "succeeded", "failed", "cancelled"]


@click.group()
def job() -> None:
    """List, show, wait for, cancel and retry jobs; read logs."""


@job.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state.")
@click.option("--model", metavar="MODEL", help="Only jobs of this model (id, or its first digits).")
@paging
@json_option
def list_(state: str | None, model: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List jobs, newest first."""
    from enginehouse.cli.common import model_id
    from enginehouse.cli.output import age_text, print_json, print_table, short

    with farm() as client:
        found = model_id(client, model) if model else None
        page = client.jobs.list(state=state, model=found, limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [item.id, item.state, item.name or short(item.model), _targets(item), age_text(item.created)]
            for item in page.items
        ]
        print_table(["job", "state", "name", "targets", "age"], rows)
        more(page.next)


@job.command()
@click.argument("job_id", metavar="JOB")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Show a job: its builds, why they wait or failed, what was measured."""
    from enginehouse.cli.output import age_text, clean, print_json, print_table, short
    from enginehouse.cli.results import name_of, print_results
    from enginehouse.states import JOB_ENDED

    with farm() as client:
        view = client.jobs.get(job_id)
        if as_json:
            print_json(view)
            return
        click.echo(f"{clean(view.id)}  {clean(view.name)}  {view.state}  ({age_text(view.created)} old)")
        click.echo(f"model {short(view.model)}  priority {view.priority}" + _bounds(view))
        rows = [
            [
                name_of(build),
                build.state,
                build.phase or "-",
                _last_worker(build.attempts),
                build.id,
                build.reason or build.note,
            ]
            for build in view.builds
        ]
        print_table(["target", "state", "phase", "worker", "build", "reason"], rows)
        if view.state in JOB_ENDED or any(build.artifact for build in view.builds):
            click.echo()
            print_results(client, view)


@job.command()
@click.argument("job_id", metavar="JOB")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after this time.")
@json_option
@quiet_option
def wait(job_id: str, timeout: float | None, as_json: bool, quiet: bool) -> None:
    """Wait for a job's end and show its results."""
    from enginehouse.cli.output import print_json
    from enginehouse.cli.results import print_failures, print_results
    from enginehouse.cli.waiting import status_of, wait_for

    with farm() as client:
        ended = wait_for(client, job_id, quiet, timeout)
        if as_json:
            print_json(ended)
            print_failures(ended)
        else:
            print_results(client, ended)
        raise click.exceptions.Exit(status_of(ended))


@job.command()
@click.argument("job_id", metavar="JOB")
@click.option("--build", "one", is_flag=True, help="JOB is the id of one build: cancel only that.")
@json_option
def cancel(job_id: str, one: bool, as_json: bool) -> None:
    """Cancel a job; builds that have ended stay as they are."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        view = client.builds.cancel(job_id) if one else client.jobs.cancel(job_id)
        print_json(view) if as_json else click.echo(f"{clean(view.id)} is {view.state}")


@job.command()
@click.argument("job_id", metavar="JOB|BUILD")
@click.option("--elsewhere", is_flag=True, help="Not by the workers that had it, while others can.")
@json_option
def retry(job_id: str, elsewhere: bool, as_json: bool) -> None:
    """Build again what failed or was cancelled, of a whole job or one build: a new job, whose id is printed."""
    with farm() as client:
        again = client.jobs.retry if job_id.startswith("job_") else client.builds.retry
        _made(again(job_id, elsewhere), as_json)


@job.command()
@click.argument("job_id", metavar="JOB")
@click.option("-t", "--target", "targets", multiple=True, metavar="TARGET", help="Instead of the job's; repeat it.")
@click.option("--option", "options", multiple=True, metavar="[BACKEND.]KEY=VALUE", help="Beside the job's own options.")
@click.option("--gate", "gates", multiple=True, metavar="[TARGET.]NAME=VALUE", help="Instead of all the job's gates.")
@click.option("--dataset", metavar="DATASET", help="Other samples: id, NAME or NAME@VERSION.")
@click.option("--ladder/--no-ladder", default=None, help="Whether to go on with higher precisions.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), help="Another class.")
@click.option("--time-limit", metavar="TIME", help="Time that a build may take: 90, 10m, 2h.")
@click.option("--memory-limit", metavar="MEMORY", help="Memory that a build may take: 4096 (MiB), 4G.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Another seed of the generated inputs.")
@click.option("--name", metavar="TEXT", help="Another name, for people.")
@json_option
def clone(
    job_id: str,
    targets: tuple[str, ...],
    options: tuple[str, ...],
    gates: tuple[str, ...],
    time_limit: str | None,
    memory_limit: str | None,
    as_json: bool,
    **plain: object,
) -> None:
    """Submit a job again, with what is given in place of its own; the new job's id is printed."""
    from enginehouse.cli.cloning import changes

    with farm() as client:
        wanted = changes(client.jobs.get(job_id), targets, options, gates, time_limit, memory_limit, plain)
        _made(client.jobs.clone(job_id, **wanted), as_json)


@job.command()
@click.argument("job_id", metavar="JOB")
@click.argument("priority", type=click.Choice(["low", "normal", "high"]))
@json_option
def priority(job_id: str, priority: str, as_json: bool) -> None:
    """Change the priority of a job that has not ended. What runs is not disturbed."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        view = client.jobs.prioritise(job_id, priority)
        print_json(view) if as_json else click.echo(f"{clean(view.id)} has the priority {view.priority}")


@job.command()
@click.argument("build", metavar="BUILD")
@click.option("-f", "--follow", is_flag=True, help="Go on until the build ends, over all its attempts.")
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt, instead of the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as the API's JSON, one object per line.")
def logs(build: str, follow: bool, attempt: int | None, as_json: bool) -> None:
    """Print a build's log. For a job's id: the logs of its builds, one after the other."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        for one, name in _builds_of(client, build):
            if name and not as_json:
                click.echo(f"=== {clean(name)} {clean(one)}")
            for line in client.builds.log(one, follow=follow, attempt=attempt):
                print_json(line, indent=None) if as_json else click.echo(clean(line.text))


@job.command()
@click.argument("build", metavar="BUILD")
@click.option("--attempt", type=click.IntRange(min=1), help="Of this attempt, instead of the newest.")
@click.option("--name", metavar="FILE", help="Print this one, for example reproduce.py; without it: list the names.")
@json_option
def attachments(build: str, attempt: int | None, name: str | None, as_json: bool) -> None:
    """List or print what a failed build left, such as reproduce.py, which repeats it outside the farm."""
    from enginehouse.cli.output import clean, print_json

    with farm() as client:
        if name is not None:
            found = client.builds.attachment(build, name, attempt)
            print_json(found) if as_json else click.echo(found.text)
            return
        view = client.builds.get(build)
        if as_json:
            print_json(view)
            return
        number = attempt or len(view.attempts)
        names = [one for each in view.attempts if each.number == number for one in each.attachments]
        click.echo("\n".join(map(clean, names)) or "nothing was left")


def _made(view: JobView, as_json: bool) -> None:
    from enginehouse.cli.output import clean, print_json

    print_json(view) if as_json else click.echo(clean(view.id))


def _builds_of(client: Client, given: str) -> list[tuple[str, str]]:
    """The build itself; of a job, its builds with their names where there are several."""
    if not given.startswith("job_"):
        return [(given, "")]
    found = client.jobs.get(given).builds
    return [(build.id, str(build.target) if len(found) > 1 else "") for build in found]


def _targets(view: JobView) -> str:
    return " ".join(str(build.target) for build in view.builds)


def _last_worker(attempts: list) -> str:  # type: ignore[type-arg]
    return (attempts[-1].worker or "-") if attempts else "-"


def _bounds(view: JobView) -> str:
    own = {str(build.target): build.gates for build in view.builds if build.rung == 0 and build.gates != view.gates}
    bounds = _gates_text("", view.gates) + "".join(_gates_text(f"{name}.", gates) for name, gates in own.items())
    return bounds + ("  ladder" if view.ladder else "")


def _gates_text(target: str, gates: Gates) -> str:
    from enginehouse.cli.output import clean

    pairs = [
        (name, f"{metric}:{bound:g}" if metric else f"{bound:g}")
        for name, given in gates.model_dump(exclude_none=True).items()
        for metric, bound in (given.items() if isinstance(given, dict) else [("", given)])
    ]
    return "".join(f"  {clean(target)}{name}={clean(value)}" for name, value in pairs)
