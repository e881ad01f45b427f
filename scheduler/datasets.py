"""Datasets: named, versioned sample inputs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.datasets import LABELS, DatasetKind, InputStatistics, takes
from enginehouse.errors import Conflict, DatasetMismatch, NotFound, RequestError
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.states import JOB_ENDED
from enginehouse.uploads import DatasetRequest
from enginehouse.views import DatasetView, Page
from scheduler import audit, blobs, events, ids, ownership, projects
from scheduler.farm import Farm
from scheduler.inspection import inspect_dataset
from scheduler.paging import page
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, Dataset, DeletedDataset, Job
from scheduler.tokens import Principal

_JOB_ENDED = [state.value for state in JOB_ENDED]

_LISTED = 10
"""Names in a message."""


def receive(
    farm: Farm, principal: Principal, name: str, stream: Iterator[bytes], declared_sha256: str | None
) -> tuple[DatasetView, bool]:
    """A dataset version as a stream. Returns it and whether it is a new version."""
    audit.concerns(f"dataset {name}")
    sha256, _ = blobs.receive(farm, stream, declared_sha256, farm.settings.max_upload_bytes, principal.project)
    return create(farm, principal, DatasetRequest(name=name, sha256=sha256))


def create(farm: Farm, principal: Principal, request: DatasetRequest) -> tuple[DatasetView, bool]:
    """A dataset version from bytes that the project has uploaded; the newest version's bytes again make no new one."""
    with farm.read() as session:
        blob = blobs.held(session, principal.project, request.sha256)
    if blob is None or not blobs.still_here(farm, blob):
        raise _not_uploaded(request.sha256)
    with blobs.local(farm, blob) as path:
        contents = inspect_dataset(path, time_s=farm.settings.inspect_time_s, memory_mb=farm.settings.inspect_memory_mb)
    with farm.write() as session:
        mine = select(Dataset).where(Dataset.project_id == principal.project, Dataset.name == request.name)
        newest = session.scalar(mine.order_by(Dataset.version.desc()).limit(1))
        if newest is not None and newest.sha256 == request.sha256:
            return _view(newest, blob), False
        if session.get(Blob, request.sha256) is None:  # collected since it was uploaded, a long time ago
            raise _not_uploaded(request.sha256)
        blobs.needed(session, [request.sha256])
        projects.check_bytes(session, principal.project, session.get_one(Blob, request.sha256).size)
        row = Dataset(
            serial=ids.new("dataset"),
            project_id=principal.project,
            name=request.name,
            version=max(newest.version if newest else 0, _last_deleted(session, principal.project, request.name)) + 1,
            sha256=request.sha256,
            samples=contents.samples,
            kind=contents.kind.value,
            statistics={name: one.model_dump(mode="json") for name, one in contents.statistics.items()},
            inputs=[spec.model_dump(mode="json") for spec in contents.inputs],
            submitted_by=ownership.submitter(principal),
            created=now(session),
        )
        session.add(row)
        audit.concerns(f"dataset {row.name}@{row.version}")
        events.emit(session, "dataset.created", project=principal.project, dataset=row.sha256, name=row.name)
    return _view(row, blob), True


def find(session: Session, project: str, reference: str) -> Dataset:
    """The dataset behind an id (SHA-256), NAME (its newest version) or NAME@VERSION."""
    query = select(Dataset).where(Dataset.project_id == project)
    name, at, version = reference.partition("@")
    if at and version.isascii() and version.isdecimal() and len(version) < 10:
        query = query.where(Dataset.name == name, Dataset.version == int(version))
    else:
        query = query.where((Dataset.name == reference) | (Dataset.sha256 == reference))
    row = session.scalar(query.order_by(Dataset.version.desc()).limit(1))
    if row is None:
        raise NotFound(f"there is no dataset {reference}", dataset=reference)
    return row


def delete(farm: Farm, principal: Principal, reference: str) -> None:
    """Forget NAME@VERSION; its number is not given again. Conflict while a job that has not ended needs its bytes."""
    name, at, version = reference.partition("@")
    if not (at and name and version):
        raise RequestError(f"'{reference}' does not name one version", advice="Write NAME@VERSION.", field="dataset")
    with farm.write() as session:
        row = find(session, principal.project, reference)
        ownership.check(principal, row.submitted_by, f"dataset {reference}")
        mine = (Job.project_id == principal.project) & (Job.dataset_id == row.sha256) & Job.state.not_in(_JOB_ENDED)
        job = session.scalar(select(Job.id).where(mine).limit(1))
        if job is not None:
            advice = f"Wait for its end, or cancel it: 'enginehouse job cancel {job}'."
            raise Conflict(f"job {job}, which has not ended, needs the dataset", advice=advice, job=job)
        said = {"project_id": row.project_id, "name": row.name, "version": row.version, "sha256": row.sha256}
        session.add(DeletedDataset(**said, deleted=now(session)))
        session.delete(row)
        events.emit(session, "dataset.deleted", project=principal.project, dataset=row.sha256, name=reference)


def _last_deleted(session: Session, project: str, name: str) -> int:
    mine = (DeletedDataset.project_id == project) & (DeletedDataset.name == name)
    return session.scalar(select(func.max(DeletedDataset.version)).where(mine)) or 0


def _not_uploaded(sha256: str) -> NotFound:
    advice = "Upload the file first (POST /v1/uploads)."
    return NotFound("these bytes were not uploaded by this project", advice=advice, sha256=sha256)


def get(session: Session, principal: Principal, reference: str) -> DatasetView:
    """One of the project's datasets, by any of its references."""
    row = find(session, principal.project, reference)
    return _view(row, session.get_one(Blob, row.sha256))


def list_(session: Session, principal: Principal, limit: int = 50, after: str | None = None) -> Page[DatasetView]:
    """The project's dataset versions, newest first."""
    rows, following = page(
        session, select(Dataset).where(Dataset.project_id == principal.project), Dataset.serial, limit, after
    )
    return Page(items=[_view(row, session.get_one(Blob, row.sha256)) for row in rows], next=following)


def check_fits(inputs: list[TensorSpec], signature: ModelSignature, name: str) -> None:
    """Raise DatasetMismatch unless the dataset has samples of every model input, and of nothing else, in its type and
    a shape that it takes. ``inputs``: the dataset's; ``name``: what to call it.
    """
    found = {spec.name: spec for spec in inputs}
    wanted = {spec.name: spec for spec in signature.inputs}
    missing = [spec for spec in signature.inputs if spec.name not in found]
    extra = [spec.name for spec in inputs if spec.name not in wanted]
    if missing:
        raise DatasetMismatch(
            f"dataset {name} has no samples of {_listed([_text(spec) for spec in missing])}; it has "
            f"{_listed([_text(spec) for spec in inputs])}",
            input=missing[0].name,
            missing=[spec.name for spec in missing],
            extra=extra,
        )
    if extra:
        raise DatasetMismatch(
            f"dataset {name} has samples of {_listed(extra)}, which the model has no input for; "
            f"it takes {_listed(list(wanted))}",
            advice=f"Leave them out of the dataset; labels go into '{LABELS}'.",
            extra=extra,
        )
    for spec in signature.inputs:
        mine = found[spec.name]
        where = {"input": spec.name, "found": _text(mine), "wanted": _text(spec)}
        if mine.dtype != spec.dtype:
            raise DatasetMismatch(f"samples of '{spec.name}' are {mine.dtype}, the model takes {spec.dtype}", **where)
        if not takes(spec, mine.shape):
            differing = "; None stands for sizes that differ between samples" if None in mine.shape else ""
            detail = f"samples of '{spec.name}' have the shape {mine.shape}, the model takes {spec.shape}{differing}"
            raise DatasetMismatch(detail, **where)


def _view(row: Dataset, blob: Blob) -> DatasetView:
    return DatasetView(
        id=row.sha256,
        name=row.name,
        version=row.version,
        size=blob.size,
        kind=DatasetKind(row.kind),
        samples=row.samples,
        labels=LABELS in row.statistics,
        inputs=[TensorSpec.model_validate(spec) for spec in row.inputs],
        statistics={
            name: InputStatistics.model_validate(one) for name, one in row.statistics.items() if name != LABELS
        },
        created=row.created,
    )


def _text(spec: TensorSpec) -> str:
    return f"'{spec.name}' ({spec.dtype} {spec.shape})"


def _listed(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
