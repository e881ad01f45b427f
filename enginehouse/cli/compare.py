"""``enginehouse compare``: builds side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from enginehouse.cli.common import artifact_id, farm, json_option

if TYPE_CHECKING:
    from enginehouse.client import Client
    from enginehouse.comparison import Comparison, Difference, LayerDiff, MetricRow, Side

_NODES = 2
"""names of source nodes that a row of the layer table shows"""


@click.command()
@click.argument("builds", metavar="BUILD BUILD [BUILD]...", nargs=-1, required=True)
@click.option(
    "--layers",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Rows of the layer table; the largest differences in time come first.",
)
@json_option
def compare(builds: tuple[str, ...], layers: int, as_json: bool) -> None:
    """Set two or more builds side by side.

    A BUILD is a build's id, JOB:TARGET (job_01k9…:openvino:fp16), or an artifact's id (its first digits will do). A
    job's id stands for all its builds that have a report. The first one is the base of every ratio.
    """
    from enginehouse.cli.output import print_json

    with farm() as client:
        found = client.builds.compare(_builds(client, builds))
    print_json(found) if as_json else _print(found, layers)


def _builds(client: Client, given: tuple[str, ...]) -> list[str]:
    from enginehouse.comparison import MOST_COMPARED

    ids = [build for one in given for build in _resolved(client, one)]
    if not 2 <= len(ids) <= MOST_COMPARED:
        raise click.UsageError(f"{len(ids)} builds are named; compare takes 2 to {MOST_COMPARED}.")
    return ids


def _resolved(client: Client, given: str) -> list[str]:
    """The ids that a word of the command line stands for."""
    if not given.startswith("job_"):
        return [artifact_id(client, given)]
    job, _, target = given.partition(":")
    builds = client.jobs.get(job).builds
    if not target:
        return [build.id for build in builds if build.artifact]
    named = [build.id for build in builds if str(build.target) == target]
    if len(named) != 1:
        known = ", ".join(f"{build.target} ({build.id})" for build in builds)
        raise click.UsageError(f"job {job} has {len(named)} builds for '{target}'; its builds: {known}.")
    return named


def _print(found: Comparison, most_layers: int) -> None:
    from enginehouse.cli.output import clean, print_table, short

    labels = [side.label for side in found.builds]
    rows = [
        [side.label, side.build, str(side.target), short(side.artifact), _proven(side), side.hardware_class]
        for side in found.builds
    ]
    print_table(["", "build", "target", "artifact", "agrees", "hardware"], rows)
    for caveat in found.latency_caveats:
        click.echo(f"Times cannot be judged side by side: {clean(caveat)}.")
    for caveat in found.accuracy_caveats:
        click.echo(f"Errors cannot be judged side by side: {clean(caveat)}.")
    _differences("asked for", found.request, labels)
    _differences("environment", found.environment, labels)
    click.echo()
    cells = [_metric_row(metric, labels) for metric in found.metrics]
    print_table(["metric", *labels, "better"], cells, right=labels)
    if any(any(metric.within) for metric in found.metrics):
        click.echo("~ the difference to A lies inside the confidence intervals")
    for diff in found.layers:
        _layer_table(diff, most_layers)


def _proven(side: Side) -> str:
    return {True: "yes", False: "no", None: "-"}[side.agrees]


def _differences(title: str, rows: list[Difference], labels: list[str]) -> None:
    from enginehouse.cli.output import print_table

    if rows:
        click.echo()
        print_table([title, *labels], [[row.field, *map(_value, row.values)] for row in rows])


def _value(value: Any) -> str:
    """A string as it is, anything else as JSON; a dash for what a build has not."""
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _metric_row(metric: MetricRow, labels: list[str]) -> list[str]:
    from enginehouse.cli.output import size_text

    name = metric.name.removesuffix("_ms") + (f" of {metric.of}" if metric.of else "")
    cells: list[str] = []
    for value, ratio, within in zip(metric.values, metric.ratios, metric.within, strict=True):
        times = "" if ratio is None or not cells else f" ({'~' if within else ''}{ratio:.3g}x)"
        text = (
            "-" if value is None else size_text(value) if metric.unit == "B" else f"{value:.4g} {metric.unit}".strip()
        )
        cells.append(text + times)
    return [name, *cells, "" if metric.best is None else labels[metric.best]]


def _layer_table(diff: LayerDiff, most: int) -> None:
    from enginehouse.cli.output import clean, number_text, print_table

    counts = ", ".join(f"{count} {change.replace('_', ' ')}" for change, count in diff.counts.items() if count)
    click.echo(f"\nlayers of {clean(diff.label)} against A: {counts}")
    rows = sorted(diff.changes, key=lambda change: -abs(change.delta_us or 0.0))[:most]
    cells = [
        [
            ", ".join(change.nodes[:_NODES]) + (", …" if len(change.nodes) > _NODES else ""),
            change.change.replace("_", " "),
            " ".join(dict.fromkeys(layer.precision or "?" for layer in change.base)) or "-",
            " ".join(dict.fromkeys(layer.precision or "?" for layer in change.other)) or "-",
            number_text(change.base_us, ".4g"),
            number_text(change.other_us, ".4g"),
            number_text(change.delta_us, "+.4g"),
        ]
        for change in rows
    ]
    columns = ["source nodes", "change", "A", diff.label, "A µs", f"{diff.label} µs", "difference"]
    if cells:
        print_table(columns, cells, right=columns[4:])
    if len(rows) < len(diff.changes):
        click.echo(f"and {len(diff.changes) - len(rows)} more rows: --layers {len(diff.changes)}")
