"""What ``job clone`` changes: command-line values over a job that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from enginehouse.cli import parsing

if TYPE_CHECKING:
    from enginehouse.targets import Target
    from enginehouse.views import JobView


def changes(
    job: JobView,
    targets: Sequence[str],
    options: Sequence[str],
    gates: Sequence[str],
    time_limit: str | None,
    memory_limit: str | None,
    plain: Mapping[str, object],
) -> dict[str, Any]:
    """The fields of a clone that are not the job's own. ``plain``: those that need no reading; None: not given."""
    from enginehouse.gates import Gates

    found: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    if targets or options:
        found["targets"] = _targets(job, targets, options)
    if gates:
        found |= parsing.all_gates(gates, list(Gates.model_fields))
    if time_limit is not None or memory_limit is not None:
        limits = job.limits.model_dump()
        limits |= {"time_s": parsing.seconds(time_limit)} if time_limit is not None else {}
        limits |= {"memory_mb": parsing.mebibytes(memory_limit)} if memory_limit is not None else {}
        found["limits"] = limits
    return found


def _targets(job: JobView, given: Sequence[str], options: Sequence[str]) -> list[Target]:
    """The targets that are named, else the job's own; an option stands beside those that a target has."""
    from enginehouse.errors import RequestError
    from enginehouse.targets import parse_target

    try:
        targets = [parse_target(text) for text in given]
    except RequestError as error:
        raise click.UsageError(f"{error.code}: {error.detail}. {error.hint}") from None
    targets = targets or [build.target for build in job.builds if build.rung == 0]
    by_backend = parsing.options(options, list(dict.fromkeys(target.backend for target in targets)))
    return [
        target.model_copy(update={"options": {**target.options, **by_backend[target.backend]}}) for target in targets
    ]
