"""Artifacts: bundles, seen by a project through a build of its own.

One that was evicted has lost its files; its manifest, report and provenance stay.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Exists, exists, select
from sqlalchemy.orm import Session

from enginehouse.bundle import ENVELOPE_NAME, MANIFEST_NAME, Manifest, canonical_json
from enginehouse.dsse import decoded, read_envelope
from enginehouse.errors import ArtifactEvicted, NotFound
from enginehouse.provenance import Statement
from enginehouse.report import Report
from enginehouse.states import BuildState
from enginehouse.views import ArtifactView, Page
from scheduler.farm import Farm
from scheduler.paging import page
from scheduler.registry.tables import Artifact, Blob, Build, Pin
from scheduler.retention import last_use
from scheduler.serving import Served, serve_blob, serve_bytes
from scheduler.tokens import Principal


def get(session: Session, principal: Principal, artifact: str) -> ArtifactView:
    """An artifact that one of the project's builds ended with."""
    return view(session, principal, visible_row(session, principal.project, artifact))


def list_(
    session: Session, principal: Principal, model: str | None = None, limit: int = 50, after: str | None = None
) -> Page[ArtifactView]:
    """The project's artifacts, newest first."""
    query = select(Artifact).where(_visible(principal.project))
    if model is not None:
        query = query.where(Artifact.model_id == model)
    rows, following = page(session, query, Artifact.serial, limit, after)
    return Page(items=[view(session, principal, row) for row in rows], next=following)


def file(farm: Farm, principal: Principal, artifact: str, path: str) -> Served:
    """One file of the bundle, the manifest and the signed provenance included."""
    with farm.read() as session:
        row = visible_row(session, principal.project, artifact)
        manifest = Manifest.model_validate(row.manifest)
        if path == MANIFEST_NAME:
            # As it was recorded: fields that a later version adds would change its digest.
            return serve_bytes(canonical_json(row.manifest), row.id, path)
        if path == ENVELOPE_NAME and row.envelope is not None:
            content = row.envelope.encode()
            return serve_bytes(content, hashlib.sha256(content).hexdigest(), path)
        wanted = next((found for found in manifest.files if found.path == path), None)
        if wanted is not None and row.evicted is not None:
            raise evicted(row, path)
        blob = session.get(Blob, wanted.sha256) if wanted else None
    if blob is None:
        raise NotFound(f"artifact {artifact} has no file {path}", artifact=artifact, path=path)
    last_use.read(farm, row)
    return serve_blob(farm, blob, path)


def provenance(session: Session, principal: Principal, artifact: str) -> Statement | None:
    """What the farm signed of an artifact; None where it was built before the farm signed."""
    row = visible_row(session, principal.project, artifact)
    if row.envelope is None:
        return None
    return Statement.model_validate_json(decoded(read_envelope(row.envelope.encode()).payload))


def evicted(row: Artifact, path: str | None = None) -> ArtifactEvicted:
    """The error for what would need its files."""
    detail = f"the files of artifact {row.id} were removed on {row.evicted:%Y-%m-%d %H:%M} UTC"
    where = {"artifact": row.id, **({"path": path} if path is not None else {})}
    return ArtifactEvicted(detail, **where)


def visible_row(session: Session, project: str, artifact: str) -> Artifact:
    """The artifact's row, if a build of the project ended with it; else NotFound."""
    row = session.scalar(select(Artifact).where(Artifact.id == artifact, _visible(project)))
    if row is None:
        raise NotFound(f"there is no artifact {artifact}", artifact=artifact)
    return row


def _visible(project: str) -> Exists:
    return exists().where(Build.artifact_id == Artifact.id, Build.project_id == project)


def view(session: Session, principal: Principal, row: Artifact) -> ArtifactView:
    """What the API shows."""
    succeeded = (Build.artifact_id == row.id) & (Build.state == BuildState.SUCCEEDED.value)
    mine = select(Build.id).where(succeeded, Build.project_id == principal.project)
    pin = session.get(Pin, (principal.project, row.id))
    return ArtifactView(
        id=row.id,
        build=row.build_id,
        promoted=session.scalar(mine.limit(1)) is not None,
        pinned=pin is not None,
        pin_note=pin.note if pin is not None else "",
        last_used=row.last_used,
        evicted=row.evicted,
        manifest=Manifest.model_validate(row.manifest),
        report=Report.model_validate(row.report),
        created=row.created,
    )
