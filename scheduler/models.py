"""Models: bytes that were inspected, under the SHA-256 of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.bundle import canonical_json, safe_path
from enginehouse.errors import NotFound, RequestError
from enginehouse.formats import LONE_FILES, Format
from enginehouse.signature import ModelFile, ModelSignature
from enginehouse.uploads import ModelRequest, UploadedFile
from enginehouse.views import ModelView, Page
from scheduler import blobs, events, ids
from scheduler.farm import Farm
from scheduler.inspection import inspect_model
from scheduler.paging import page
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, Model
from scheduler.serving import Served, serve_blob
from scheduler.tokens import Principal

LONE_FILE = "model"
"""The path of a model that came as one stream, until its format is known."""


def model_id(files: list[ModelFile]) -> str:
    """The SHA-256 (hex) that names a model: its file's own, or that of the list of paths and SHA-256s."""
    if len(files) == 1:
        return files[0].sha256
    listed = [files[0].model_dump(), *sorted((f.model_dump() for f in files[1:]), key=lambda f: str(f["path"]))]
    return hashlib.sha256(canonical_json(listed)).hexdigest()


def receive(
    farm: Farm, principal: Principal, name: str, stream: Iterator[bytes], declared_sha256: str | None
) -> tuple[ModelView, bool]:
    """A model of one file, as a stream of any size. Returns the model and whether it is new to the project."""
    sha256, _ = blobs.receive(farm, stream, declared_sha256, farm.settings.max_upload_bytes)
    with farm.write() as session:
        blobs.hold(session, principal.project, sha256)
    return create(farm, principal, ModelRequest(name=name, files=[UploadedFile(path=LONE_FILE, sha256=sha256)]))


def create(farm: Farm, principal: Principal, request: ModelRequest) -> tuple[ModelView, bool]:
    """A model of files that the project has uploaded. Raises ModelUnreadable and its kin when they are no model."""
    files, held = [], []
    with farm.read() as session:
        for wanted in request.files:
            try:
                safe_path(wanted.path)
            except ValueError as error:
                raise RequestError(str(error), field="files.path", path=wanted.path) from None
            blob = blobs.held(session, principal.project, wanted.sha256)
            if blob is None:
                detail = f"{wanted.path}: these bytes were not uploaded by this project"
                raise NotFound(detail, advice="Upload the file first (POST /v1/uploads).", sha256=wanted.sha256)
            files.append(ModelFile(path=wanted.path, sha256=blob.sha256, size=blob.size))
            held.append(blob)
        if len({file.path for file in files}) < len(files):
            raise RequestError("two files have the same path", field="files.path")
        known = session.get(Model, (principal.project, model_id(files)))
    if known is not None:
        return _view(known), False
    signature = _inspect(farm, files, held)
    if files[0].path == LONE_FILE:
        files[0] = files[0].model_copy(update={"path": LONE_FILES[Format(signature.format)]})
    with farm.write() as session:
        known = session.get(Model, (principal.project, model_id(files)))
        if known is not None:
            return _view(known), False
        row = Model(
            project_id=principal.project,
            id=model_id(files),
            serial=ids.new("model"),
            name=request.name,
            size=sum(file.size for file in files),
            files=[file.model_dump() for file in files],
            signature=signature.model_dump(mode="json"),
            created=now(session),
        )
        session.add(row)
        events.emit(session, "model.created", project=principal.project, model=row.id, name=row.name)
    return _view(row), True


def get(session: Session, principal: Principal, model: str) -> ModelView:
    """One of the project's models."""
    return _view(row(session, principal.project, model))


def row(session: Session, project: str, model: str) -> Model:
    """The model's row, or NotFound."""
    found = session.get(Model, (project, model))
    if found is None:
        raise NotFound(f"there is no model {model}", model=model)
    return found


def list_(session: Session, principal: Principal, limit: int = 50, after: str | None = None) -> Page[ModelView]:
    """The project's models, newest first."""
    query = select(Model).where(Model.project_id == principal.project)
    rows, following = page(session, query, Model.serial, limit, after)
    return Page(items=[_view(found) for found in rows], next=following)


def file(farm: Farm, principal: Principal, model: str, path: str) -> Served:
    """One file of a model, to be downloaded."""
    with farm.read() as session:
        found = row(session, principal.project, model)
        wanted = next((f for f in found.files if f["path"] == path), None)
        blob = session.get(Blob, wanted["sha256"]) if wanted else None
    if blob is None:
        raise NotFound(f"model {model} has no file {path}", model=model, path=path)
    return serve_blob(farm, blob, path)


def _inspect(farm: Farm, files: list[ModelFile], held: list[Blob]) -> ModelSignature:
    with ExitStack() as stack:
        paths = [(f.path, stack.enter_context(blobs.local(farm, b))) for f, b in zip(files, held, strict=True)]
        return inspect_model(paths, time_s=farm.settings.inspect_time_s, memory_mb=farm.settings.inspect_memory_mb)


def _view(found: Model) -> ModelView:
    return ModelView(
        id=found.id,
        name=found.name,
        size=found.size,
        files=[ModelFile.model_validate(f) for f in found.files],
        signature=ModelSignature.model_validate(found.signature),
        created=found.created,
    )
