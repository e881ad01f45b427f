"""Pins: a project keeps an artifact, whatever its age and the space it takes."""

from __future__ import annotations

from enginehouse.views import ArtifactView
from scheduler import artifacts
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Pin
from scheduler.tokens import Principal


def pin(farm: Farm, principal: Principal, artifact: str, note: str) -> ArtifactView:
    """Keep an artifact of the project's; pinning it again changes the note. ArtifactEvicted when its files are gone."""
    with farm.write() as session:
        row = artifacts.visible_row(session, principal.project, artifact)
        if row.evicted is not None:
            raise artifacts.evicted(row)
        found = session.get(Pin, (principal.project, row.id))
        if found is None:
            session.add(Pin(project_id=principal.project, artifact_id=row.id, note=note, created=now(session)))
        else:
            found.note = note
        session.flush()
        return artifacts.view(session, principal, row)


def unpin(farm: Farm, principal: Principal, artifact: str) -> ArtifactView:
    """Keep it no longer than others are kept. Other projects' pins hold on. Repeating it is harmless."""
    with farm.write() as session:
        row = artifacts.visible_row(session, principal.project, artifact)
        found = session.get(Pin, (principal.project, row.id))
        if found is not None:
            session.delete(found)
            session.flush()
        return artifacts.view(session, principal, row)
