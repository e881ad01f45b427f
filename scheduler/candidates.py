"""What a project has of a model: its own builds' artifacts, each with what a resolver looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from enginehouse.bundle import Manifest
from enginehouse.capability import Hardware
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.rules import Made
from enginehouse.states import BuildState
from scheduler.ranking import Candidate
from scheduler.registry.tables import Artifact, Build

MOST = 200
"""Artifacts of one model that are looked at, the newest first."""

_PARTS = ("size", "verification", "metrics", "benchmark")
"""What is read of a report: not its layers, which are most of it."""


@dataclass(frozen=True)
class Owned:
    """A candidate and what became of it. ``promoted``: a build of the project succeeded with it."""

    candidate: Candidate
    promoted: bool


def of_model(session: Session, project: str, model: str) -> tuple[list[Owned], bool]:
    """The newest artifacts that the project's own builds of the model ended with, and whether these are all."""
    parts = [Artifact.report[name].label(name) for name in (*_PARTS, "environment")]
    mine = exists().where(Build.artifact_id == Artifact.id, Build.project_id == project)
    query = (
        select(Artifact.id, Artifact.manifest, *parts)
        .where(Artifact.model_id == model, Artifact.evicted.is_(None), mine)
        .order_by(Artifact.serial.desc())
        .limit(MOST + 1)
    )
    rows = [row._asdict() for row in session.execute(query)]
    builds = _builds(session, project, [row["id"] for row in rows[:MOST]])
    found = []
    for row in rows[:MOST]:
        build = builds[row["id"]]
        found.append(Owned(_candidate(row, build), build.state == BuildState.SUCCEEDED))
    return found, len(rows) <= MOST


def _builds(session: Session, project: str, artifacts: list[str]) -> dict[str, Build]:
    """For each artifact the project's newest build that succeeded with it, else its newest one."""
    newest = (
        select(func.max(Build.id))
        .where(Build.artifact_id.in_(artifacts), Build.project_id == project)
        .group_by(Build.artifact_id, Build.state)
    )
    rows = session.scalars(select(Build).where(Build.id.in_(newest)))
    ordered = sorted(rows, key=lambda row: (row.state == BuildState.SUCCEEDED, row.id))
    return {row.artifact_id: row for row in ordered if row.artifact_id is not None}


def _candidate(row: Mapping[str, Any], build: Build) -> Candidate:
    manifest = Manifest.model_validate(row["manifest"])
    told = {name: row[name] for name in _PARTS if row[name] is not None}
    hardware = _hardware((row["environment"] or {}).get("hardware"))
    return Candidate(
        artifact=row["id"],
        manifest=manifest,
        report=Report.model_validate({"model": manifest.model, "target": str(manifest.target), **told}),
        made=Made(
            backend=manifest.target.backend,
            precision=manifest.target.precision,
            options=manifest.target.options,
            runtime=manifest.runtime,
            settings=manifest.settings,
            tags=frozenset(hardware.tags) if hardware else frozenset(),
            cpu_model=hardware.cpu_model if hardware else "",
        ),
        recipe=Recipe.model_validate(build.recipe),
    )


def _hardware(given: object) -> Hardware | None:
    try:
        return Hardware.model_validate(given)
    except ValidationError:  # a report from before it was told
        return None
