"""Artifacts: bundles, seen by a project through a build of its own."""

from __future__ import annotations

from sqlalchemy import Exists, exists, select
from sqlalchemy.orm import Session

from enginehouse.bundle import MANIFEST_NAME, Manifest
from enginehouse.errors import NotFound
from enginehouse.report import Report
from enginehouse.views import ArtifactView, Page
from scheduler.farm import Farm
from scheduler.paging import page
from scheduler.registry.tables import Artifact, Blob, Build
from scheduler.serving import Served, serve_blob, serve_bytes
from scheduler.tokens import Principal


def get(session: Session, principal: Principal, artifact: str) -> ArtifactView:
    """An artifact that one of the project's builds ended with."""
    return _view(_row(session, principal, artifact))


def list_(
    session: Session, principal: Principal, model: str | None = None, limit: int = 50, after: str | None = None
) -> Page[ArtifactView]:
    """The project's artifacts, newest first."""
    query = select(Artifact).where(_visible(principal))
    if model is not None:
        query = query.where(Artifact.model_id == model)
    rows, following = page(session, query, Artifact.serial, limit, after)
    return Page(items=[_view(row) for row in rows], next=following)


def file(farm: Farm, principal: Principal, artifact: str, path: str) -> Served:
    """One file of the bundle, the manifest included."""
    with farm.read() as session:
        row = _row(session, principal, artifact)
        manifest = Manifest.model_validate(row.manifest)
        if path == MANIFEST_NAME:
            return serve_bytes(manifest.canonical(), row.id, path)
        wanted = next((found for found in manifest.files if found.path == path), None)
        blob = session.get(Blob, wanted.sha256) if wanted else None
    if blob is None:
        raise NotFound(f"artifact {artifact} has no file {path}", artifact=artifact, path=path)
    return serve_blob(farm, blob, path)


def _visible(principal: Principal) -> Exists:
    return exists().where(Build.artifact_id == Artifact.id, Build.project_id == principal.project)


def _row(session: Session, principal: Principal, artifact: str) -> Artifact:
    row = session.scalar(select(Artifact).where(Artifact.id == artifact, _visible(principal)))
    if row is None:
        raise NotFound(f"there is no artifact {artifact}", artifact=artifact)
    return row


def _view(row: Artifact) -> ArtifactView:
    return ArtifactView(
        id=row.id,
        build=row.build_id,
        manifest=Manifest.model_validate(row.manifest),
        report=Report.model_validate(row.report),
        created=row.created,
    )
