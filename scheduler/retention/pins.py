"""Pins: a project keeps an artifact, whatever its age and the space it takes."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.views import ArtifactView
from scheduler import artifacts, ownership
from scheduler.farm import Farm
from scheduler.principal import Principal
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Job, Pin


def pin(farm: Farm, principal: Principal, artifact: str, note: str) -> ArtifactView:
    """Keep an artifact of the project's; pinning it again changes the note. ArtifactEvicted when its files are gone."""
    with farm.write() as session:
        row = artifacts.visible_row(session, principal.project, artifact)
        if row.evicted is not None:
            raise artifacts.evicted(row)
        found = session.get(Pin, (principal.project, row.id))
        if found is None:
            _check_own(session, principal, row.id)
            mine = ownership.submitter(principal)
            session.add(
                Pin(project_id=principal.project, artifact_id=row.id, note=note, set_by=mine, created=now(session))
            )
        else:
            ownership.check(principal, found.set_by, f"the pin of artifact {artifact}")
            found.note = note
        session.flush()
        return artifacts.view(session, principal, row)


def unpin(farm: Farm, principal: Principal, artifact: str) -> ArtifactView:
    """Keep it no longer than others are kept. Other projects' pins hold on. Repeating it is harmless."""
    with farm.write() as session:
        row = artifacts.visible_row(session, principal.project, artifact)
        found = session.get(Pin, (principal.project, row.id))
        if found is None:
            _check_own(session, principal, row.id)
        else:
            ownership.check(principal, found.set_by, f"the pin of artifact {artifact}")
            session.delete(found)
            session.flush()
        return artifacts.view(session, principal, row)


def _check_own(session: Session, principal: Principal, artifact: str) -> None:
    """An artifact is somebody's own where one of their jobs yielded it. Raises Forbidden."""
    query = select(Job.submitted_by).join(Build, Build.job_id == Job.id).distinct()
    submitters = list(
        session.scalars(query.where(Build.artifact_id == artifact, Build.project_id == principal.project))
    )
    if not any(ownership.is_own(principal, one) for one in submitters):
        ownership.check(principal, next(iter(submitters), None), f"artifact {artifact}")
