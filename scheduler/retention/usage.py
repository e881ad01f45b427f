"""How many bytes of the store belong to a project."""

from __future__ import annotations

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from scheduler.registry.tables import Artifact, Blob, BlobUse, Build, Dataset, Model


def stored_bytes(session: Session, project: str) -> int:
    """What its models, its datasets and the artifacts that it sees consist of; bytes that are shared count once.

    Evicted artifacts take nothing, and neither does what was uploaded and not made into anything.
    """
    of_models = select(BlobUse.sha256).join(Model, Model.serial == BlobUse.owner).where(Model.project_id == project)
    of_datasets = select(Dataset.sha256).where(Dataset.project_id == project)
    of_artifacts = (
        select(BlobUse.sha256)
        .join(Artifact, Artifact.serial == BlobUse.owner)
        .join(Build, Build.artifact_id == Artifact.id)
        .where(Build.project_id == project)
    )
    theirs = union(of_models, of_datasets, of_artifacts)
    total = session.scalar(select(func.sum(Blob.size)).where(Blob.sha256.in_(theirs)))
    return int(total or 0)


def artifact_bytes(session: Session) -> int:
    """What all artifacts of the farm consist of; bytes that are shared count once."""
    of_artifacts = select(BlobUse.sha256).where(BlobUse.kind == "artifact")
    return int(session.scalar(select(func.sum(Blob.size)).where(Blob.sha256.in_(of_artifacts))) or 0)


def farm_bytes(session: Session) -> tuple[int, int]:
    """How many objects the store holds for the whole farm, and their bytes."""
    count, total = session.execute(select(func.count(), func.sum(Blob.size)).select_from(Blob)).one()
    return int(count), int(total or 0)
