"""The outcome of a job as a table: a row per build, with what was proven and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.exploration import print_exploration
from enginehouse.cli.failures import show_failure
from enginehouse.cli.output import clean, note, number_text, print_table, short, size_text
from enginehouse.errors import NotFound
from enginehouse.ladder import described
from enginehouse.states import BuildState

if TYPE_CHECKING:
    from enginehouse.client import Client
    from enginehouse.report import OtherBaseline, Report
    from enginehouse.views import BuildView, JobView

COLUMNS = ("target", "state", "origin", "size", "max error", "cosine", "p50 ms", "p90 ms", "speed-up", "artifact")
RIGHT = COLUMNS[3:9]
BASELINE_COLUMNS = ("target", "against", "p50 ms", "its p50 ms", "speed-up", "interval", "not measured")


def fetch_reports(farm: Client, job: JobView) -> dict[str, Report]:
    """Report by artifact id, for every build that has one."""
    reports = {}
    for artifact in dict.fromkeys(build.artifact for build in job.builds if build.artifact):
        try:
            reports[artifact] = farm.artifacts.get(artifact).report
        except NotFound:  # deleted since
            continue
    return reports


def name_of(build: BuildView) -> str:
    """The target as a person follows it: a further rung of a ladder stands under what it takes the place of."""
    return "> " * build.rung + described(build.target)


def result_row(build: BuildView, report: Report | None) -> list[str]:
    """One build in the table's columns; what was not measured is a dash."""
    row = [name_of(build), build.state.value, build.origin.value if build.origin else "-"]
    outputs = report.verification.outputs if report and report.verification else []
    errors = [output.max_abs_error for output in outputs if output.max_abs_error is not None]
    cosines = [output.cosine for output in outputs if output.cosine is not None]
    benchmark = report.benchmark if report else None
    disturbed = "*" if benchmark and benchmark.disturbed else ""
    row.append(size_text(report.size) if report else "-")
    row.append(number_text(max(errors, default=None), ".2e"))
    row.append(number_text(min(cosines, default=None), ".6f"))
    row.append(number_text(benchmark.artifact.p50_ms if benchmark else None, ".3g"))
    row.append(number_text(benchmark.artifact.p90_ms if benchmark else None, ".3g"))
    row.append(number_text(benchmark.speedup if benchmark else None, ".2f", "x" + disturbed))
    gone = f" (evicted {build.artifact_evicted:%Y-%m-%d})" if build.artifact_evicted else ""
    row.append(short(build.artifact) + gone if build.artifact else "-")
    return row


def baseline_row(build: BuildView, one: OtherBaseline) -> list[str]:
    """A build beside one of the other baselines, in these columns."""
    return [
        name_of(build),
        one.name,
        number_text(one.artifact_p50_ms, ".3g"),
        number_text(one.p50_ms, ".3g"),
        number_text(one.speedup, ".2f", "x" + ("*" if one.disturbed else "")),
        f"{number_text(one.speedup_low, '.2f')} to {number_text(one.speedup_high, '.2f')}" if one.speedup else "-",
        clean(one.reason) or "-",
    ]


def _print_baselines(job: JobView, reports: dict[str, Report]) -> None:
    timed = [(build, reports[build.artifact].benchmark) for build in job.builds if build.artifact in reports]
    rows = [baseline_row(build, one) for build, benchmark in timed if benchmark for one in benchmark.others]
    if rows:
        click.echo()
        print_table(BASELINE_COLUMNS, rows, BASELINE_COLUMNS[2:6])


def print_results(farm: Client, job: JobView) -> None:
    """The table on stdout, then on stderr why builds failed."""
    reports = fetch_reports(farm, job)
    print_table(COLUMNS, [result_row(build, reports.get(build.artifact or "")) for build in job.builds], RIGHT)
    _print_baselines(job, reports)
    timed = [report.benchmark for report in reports.values() if report.benchmark]
    if any(benchmark.disturbed or any(one.disturbed for one in benchmark.others) for benchmark in timed):
        note("* the benchmark was disturbed: other work used the cores meanwhile")
    for report in reports.values():
        if report.exploration:
            print_exploration(report.exploration)
    print_failures(job)


def print_failures(job: JobView) -> None:
    """Why builds failed, on stderr. One that its ladder went on from is no failure of the job."""
    for build in job.builds:
        if build.state is not BuildState.FAILED or build.failure is None:
            continue
        if build.replaced_by:
            note(f"{described(build.target)} gave way, {build.failure.code}: {build.failure.detail}")
            continue
        show_failure(described(build.target), build.failure)
        if build.note:
            click.echo(f"  {clean(build.note)}", err=True)
