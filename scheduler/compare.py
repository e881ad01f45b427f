"""Builds of a project, set side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.bundle import Manifest
from enginehouse.comparison import Comparison, Subject, compare
from enginehouse.errors import NoReport, NotFound
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.states import ENDED, BuildState
from scheduler.registry.tables import Artifact, Build
from scheduler.tokens import Principal


def compared(session: Session, principal: Principal, ids: Sequence[str]) -> Comparison:
    """Ids of builds, or of artifacts that builds of the project ended with; the first is the base.

    Raises NotFound, and NoReport for a build that left no report or has none yet.
    """
    return compare([_subject(session, _build(session, principal, id_)) for id_ in ids])


def _build(session: Session, principal: Principal, id_: str) -> Build:
    mine = select(Build).where(Build.project_id == principal.project)
    if re.fullmatch(r"[0-9a-f]{64}", id_):
        # The project's own build: the one that made the bundle may be another project's.
        row = session.scalar(mine.where(Build.artifact_id == id_).order_by(Build.id).limit(1))
    else:
        row = session.scalar(mine.where(Build.id == id_))
    if row is None:
        raise NotFound(f"there is no build or artifact {id_}", build=id_)
    return row


def _subject(session: Session, row: Build) -> Subject:
    artifact = session.get(Artifact, row.artifact_id) if row.artifact_id else None
    if artifact is None:
        over = BuildState(row.state) in ENDED
        code = f" ({row.failure['code']})" if row.failure else ""
        says = "left no report" if over else "has no report yet"
        raise NoReport(f"build {row.id} is {row.state}{code} and {says}", build=row.id, state=row.state)
    return Subject(
        build=row.id,
        artifact=artifact.id,
        recipe=Recipe.model_validate(row.recipe),
        manifest=Manifest.model_validate(artifact.manifest),
        report=Report.model_validate(artifact.report),
    )
