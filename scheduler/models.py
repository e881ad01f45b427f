"""Models: bytes that were inspected, under the SHA-256 of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.bundle import canonical_json, safe_path
from enginehouse.errors import Conflict, NotFound, RequestError
from enginehouse.formats import LONE_FILES, Format
from enginehouse.signature import ModelFile, ModelSignature
from enginehouse.states import ENDED
from enginehouse.uploads import ModelRequest, UploadedFile
from enginehouse.views import ModelView, Page
from scheduler import audit, blobs, events, ids, ownership, projects
from scheduler.farm import Farm
from scheduler.inspection import inspect_model
from scheduler.paging import page
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, Build, Model
from scheduler.retention import uses
from scheduler.serving import Served, serve_blob
from scheduler.tokens import Principal

_ENDED = [state.value for state in ENDED]

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
    audit.concerns(f"model {name}")
    sha256, _ = blobs.receive(farm, stream, declared_sha256, farm.settings.max_upload_bytes, principal.project)
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
                raise _not_uploaded(wanted.path, wanted.sha256)
            files.append(ModelFile(path=wanted.path, sha256=blob.sha256, size=blob.size))
            held.append(blob)
        if len({file.path for file in files}) < len(files):
            raise RequestError("two files have the same path", field="files.path")
        known = session.get(Model, (principal.project, model_id(files)))
    if known is not None:
        return _view(known), False
    for file, blob in zip(files, held, strict=True):
        if not blobs.still_here(farm, blob):
            raise _not_uploaded(file.path, file.sha256)
    signature = _inspect(farm, files, held)
    if files[0].path == LONE_FILE:
        files[0] = files[0].model_copy(update={"path": LONE_FILES[Format(signature.format)]})
    with farm.write() as session:
        known = session.get(Model, (principal.project, model_id(files)))
        if known is not None:
            return _view(known), False
        for file in files:
            if session.get(Blob, file.sha256) is None:  # collected since they were uploaded, a long time ago
                raise _not_uploaded(file.path, file.sha256)
        projects.check_bytes(session, principal.project, sum(file.size for file in files))
        row = Model(
            project_id=principal.project,
            id=model_id(files),
            serial=ids.new("model"),
            name=request.name,
            size=sum(file.size for file in files),
            files=[file.model_dump() for file in files],
            signature=signature.model_dump(mode="json"),
            submitted_by=ownership.submitter(principal),
            created=now(session),
        )
        session.add(row)
        audit.concerns(f"model {row.id} ({row.name})")
        uses.keep(session, row.serial, uses.MODEL, [file.sha256 for file in files])
        events.emit(session, "model.created", project=principal.project, model=row.id, name=row.name)
    return _view(row), True


def delete(farm: Farm, principal: Principal, model: str) -> None:
    """Forget one of the project's models; what was built of it stays. Conflict while a build in flight needs it."""
    with farm.write() as session:
        found = row(session, principal.project, model)
        ownership.check(principal, found.submitted_by, f"model {model}")
        in_flight = select(Build.id).where(Build.project_id == principal.project, Build.model_id == model)
        build = session.scalar(in_flight.where(Build.state.not_in(_ENDED)).limit(1))
        if build is not None:
            advice = f"Wait for its end, or cancel it: 'enginehouse job cancel {build} --build'."
            raise Conflict(f"build {build}, which is in flight, needs the model", advice=advice, build=build)
        uses.release(session, found.serial)
        session.delete(found)
        events.emit(session, "model.deleted", project=principal.project, model=model, name=found.name)


def get(session: Session, principal: Principal, model: str) -> ModelView:
    """One of the project's models."""
    return _view(row(session, principal.project, model))


def name_of(session: Session, principal: Principal, model: str) -> str:
    """Its name; empty for one that was deleted."""
    found = session.get(Model, (principal.project, model))
    return found.name if found else ""


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


def share(farm: Farm, principal: Principal, model: str, shared: bool) -> ModelView:
    """Say whether other projects that have the same bytes may be given what this project had built of them."""
    with farm.write() as session:
        found = row(session, principal.project, model)
        ownership.check(principal, found.submitted_by, f"model {model}")
        found.shared = shared
        return _view(found)


def file(farm: Farm, principal: Principal, model: str, path: str) -> Served:
    """One file of a model, to be downloaded."""
    with farm.read() as session:
        found = row(session, principal.project, model)
        wanted = next((f for f in found.files if f["path"] == path), None)
        blob = session.get(Blob, wanted["sha256"]) if wanted else None
    if blob is None:
        raise NotFound(f"model {model} has no file {path}", model=model, path=path)
    return serve_blob(farm, blob, path)


def _not_uploaded(path: str, sha256: str) -> NotFound:
    detail = f"{path}: these bytes were not uploaded by this project"
    return NotFound(detail, advice="Upload the file first (POST /v1/uploads).", sha256=sha256)


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
        shared=found.shared,
        created=found.created,
    )
