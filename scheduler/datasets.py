"""Datasets: named, versioned sample inputs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import DatasetMismatch, NotFound
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.uploads import DatasetRequest
from enginehouse.views import DatasetView, Page
from scheduler import blobs, events, ids
from scheduler.farm import Farm
from scheduler.inspection import inspect_dataset
from scheduler.paging import page
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, Dataset
from scheduler.tokens import Principal

LABELS = "labels"
"""The one array of a dataset that is no model input."""


def receive(
    farm: Farm, principal: Principal, name: str, stream: Iterator[bytes], declared_sha256: str | None
) -> tuple[DatasetView, bool]:
    """A dataset version as a stream. Returns it and whether it is a new version."""
    sha256, _ = blobs.receive(farm, stream, declared_sha256, farm.settings.max_upload_bytes)
    with farm.write() as session:
        blobs.hold(session, principal.project, sha256)
    return create(farm, principal, DatasetRequest(name=name, sha256=sha256))


def create(farm: Farm, principal: Principal, request: DatasetRequest) -> tuple[DatasetView, bool]:
    """A dataset version from bytes that the project has uploaded; the newest version's bytes again make no new one."""
    with farm.read() as session:
        blob = blobs.held(session, principal.project, request.sha256)
    if blob is None:
        advice = "Upload the file first (POST /v1/uploads)."
        raise NotFound("these bytes were not uploaded by this project", advice=advice, sha256=request.sha256)
    with blobs.local(farm, blob) as path:
        samples, inputs = inspect_dataset(
            path, time_s=farm.settings.inspect_time_s, memory_mb=farm.settings.inspect_memory_mb
        )
    with farm.write() as session:
        mine = select(Dataset).where(Dataset.project_id == principal.project, Dataset.name == request.name)
        newest = session.scalar(mine.order_by(Dataset.version.desc()).limit(1))
        if newest is not None and newest.sha256 == request.sha256:
            return _view(newest, blob), False
        row = Dataset(
            serial=ids.new("dataset"),
            project_id=principal.project,
            name=request.name,
            version=(newest.version if newest else 0) + 1,
            sha256=request.sha256,
            samples=samples,
            kind="npz",
            statistics={},
            inputs=[spec.model_dump(mode="json") for spec in inputs],
            created=now(session),
        )
        session.add(row)
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
    """Raise DatasetMismatch unless every model input has an array of its type and a shape that it takes."""
    arrays = {spec.name: spec for spec in inputs if spec.name != LABELS}
    for wanted in signature.inputs:
        array = arrays.get(wanted.name)
        if array is None:
            raise DatasetMismatch(f"dataset {name} has no array '{wanted.name}'", input=wanted.name)
        if array.dtype != wanted.dtype:
            detail = f"array '{wanted.name}' of dataset {name} is {array.dtype}, the model takes {wanted.dtype}"
            raise DatasetMismatch(detail, input=wanted.name)
        fixed = zip(array.shape, wanted.shape, strict=False)
        if len(array.shape) != len(wanted.shape) or any(isinstance(w, int) and w != a for a, w in fixed):
            detail = f"samples of '{wanted.name}' have shape {array.shape}, the model takes {wanted.shape}"
            raise DatasetMismatch(detail, input=wanted.name)


def _view(row: Dataset, blob: Blob) -> DatasetView:
    return DatasetView(
        id=row.sha256,
        name=row.name,
        version=row.version,
        size=blob.size,
        samples=row.samples,
        inputs=[TensorSpec.model_validate(spec) for spec in row.inputs],
        created=row.created,
    )
