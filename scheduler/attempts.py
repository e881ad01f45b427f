"""Attempts: what a worker says of a build that it holds. Every word carries the fencing number."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.bundle import RESERVED, Manifest
from enginehouse.errors import AttemptStale, NotFound, RequestError
from enginehouse.request import Limits, Recipe
from enginehouse.signature import ModelSignature
from enginehouse.states import AttemptState, BuildState, Origin
from enginehouse.uploads import PartRequest, part_size
from enginehouse.views import BuildView
from enginehouse.work import (
    Claim,
    ClaimRequest,
    Complete,
    Fail,
    InputFile,
    LogBatch,
    PhaseUpdate,
    PublishFile,
    PublishReply,
    PublishRequest,
    PublishSlot,
)
from scheduler import builds, cache, control, ids, keys, models, provenance, transitions, uploads
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Artifact, Attempt, Blob, Build, Job, LogRow, Upload, Worker
from scheduler.retention import uses
from scheduler.serving import Served, serve_blob
from scheduler.workers import holds

LOG_LINES = 100_000
"""Lines that an attempt may log; what follows is cut, with a word that says so."""


def claim(farm: Farm, build: str, request: ClaimRequest) -> Claim:
    """Give the attempt to the worker under a lease. A message that came twice or too late is refused (AttemptStale).

    Asking again for what the same boot of the worker holds already gives the same answer. A worker that shall take
    nothing is refused, and the build goes elsewhere at once. It is durable: a fencing number that the registry forgot
    would be given to a second worker, while the first one still speaks under it.
    """
    refused = None
    with farm.write() as session:
        row = _build(session, build)
        attempt = transitions.current_attempt(session, row)
        worker = session.get(Worker, request.worker)
        if worker is None or worker.boot_id != request.boot_id:
            raise AttemptStale("the worker is not signed on under this boot id; sign on again", worker=request.worker)
        if attempt is None or attempt.number != request.attempt:
            raise AttemptStale(f"attempt {request.attempt} is not the current one", build=build)
        if attempt.meant_for not in (None, worker.id):
            raise AttemptStale(f"attempt {attempt.number} is meant for another worker", build=build)
        if attempt.state == AttemptState.DISPATCHED and attempt.pool == worker.pool:
            refused = control.refuses(session, row, worker)
            if refused is None:
                transitions.claimed(session, row, attempt, worker, farm.settings.lease_s)
            else:
                transitions.unclaimed(session, row, f"{refused}; it is sent elsewhere")
        elif not (attempt.state == AttemptState.RUNNING and attempt.boot_id == request.boot_id):
            raise AttemptStale(f"attempt {attempt.number} is {attempt.state}", build=build)
        if refused is None:
            return _claim(farm, session, row, attempt)
    raise AttemptStale(refused, build=build, worker=request.worker)


def input_file(farm: Farm, build: str, fence: int, sha256: str) -> Served:
    """A file that the claim named, for the worker that holds the build."""
    with farm.read() as session:
        row, _ = _held(session, build, fence)
        model = models.row(session, row.project_id, row.model_id)
        needed = {file["sha256"] for file in model.files} | {Recipe.model_validate(row.recipe).dataset}
        blob = session.get(Blob, sha256) if sha256 in needed else None
    if blob is None:
        raise NotFound(f"{sha256} is not an input of build {build}", build=build)
    return serve_blob(farm, blob, "input")


def phase(farm: Farm, build: str, update: PhaseUpdate) -> None:
    """The build has entered a phase."""
    with farm.write(durable=False) as session:
        row, _ = _held(session, build, update.fence)
        transitions.entered(session, row, update.phase)


def log(farm: Farm, build: str, batch: LogBatch) -> None:
    """Captured lines; what was delivered before is passed over."""
    with farm.write(durable=False) as session:
        row = _build(session, build)
        attempt = session.scalar(select(Attempt).where(Attempt.build_id == build, Attempt.fence == batch.fence))
        if attempt is None:
            raise AttemptStale(f"fencing number {batch.fence} is not one of build {build}", build=build)
        mine = (LogRow.build_id == row.id) & (LogRow.attempt == attempt.number)
        last = session.scalar(select(func.max(LogRow.seq)).where(mine)) or 0
        for line in batch.lines:
            if line.seq <= last or line.seq > LOG_LINES:
                continue
            text = line.text if line.seq < LOG_LINES else "(the log ends here: it has too many lines)"
            session.add(LogRow(build_id=row.id, attempt=attempt.number, seq=line.seq, time=line.time, text=text))


def publish(farm: Farm, build: str, request: PublishRequest) -> PublishReply:
    """Open uploads for the files that the farm does not hold yet."""
    for file in request.files:
        if len(file.parts) != max(1, -(-file.size // part_size(file.size))):
            raise RequestError(f"{file.size} bytes are not cut into {len(file.parts)} parts", field="files.parts")
    with farm.read() as session:
        _held(session, build, request.fence)
        wanted = {file.sha256: file for file in request.files}
        have = {blob.sha256 for blob in session.scalars(select(Blob).where(Blob.sha256.in_(list(wanted)))) if blob.key}
    if have:
        have = _promised(farm, build, request.fence, have)
    missing = [file for file in wanted.values() if file.sha256 not in have]
    owner = uploads.owner_of(build, request.fence)
    opened = {row.sha256: row for row in uploads.begin(farm, owner, missing)} if missing else {}
    try:
        with farm.read() as session:
            _held(session, build, request.fence)
    except AttemptStale:  # it ended meanwhile, and whoever ended it did not see these
        uploads.forget(farm, [owner])
        raise
    return PublishReply(slots=[_slot(farm, file, opened.get(file.sha256)) for file in request.files])


def complete(farm: Farm, build: str, request: Complete) -> BuildView:
    """Make the bundle the build's artifact and sign its provenance, or refuse it when the attempt is stale.

    Repeating it is harmless.
    """
    with farm.read() as session:
        row = _build(session, build)
        if _completed(session, row, request):
            return builds.view(session, row)
        _held(session, build, request.fence)
        _check_manifest(row, request.manifest)
    for upload in uploads.of_attempt(farm, uploads.owner_of(build, request.fence), request.uploads):
        uploads.seal(farm, upload)
    with farm.write() as session:
        row = _build(session, build)
        if _completed(session, row, request):
            return builds.view(session, row)
        _, attempt = _held(session, build, request.fence)
        for file in request.manifest.files:
            blob = session.get(Blob, file.sha256)
            if blob is None or blob.size != file.size:
                raise RequestError(
                    f"{file.path}: the farm does not hold these bytes", field="manifest.files", path=file.path
                )
        artifact = _artifact(farm, session, row, attempt, request)
        cache.verdict(session, row, artifact, Origin.BUILT)
        cache.settle_followers(session, row)
        session.flush()
        return builds.view(session, row)


def fail(farm: Farm, build: str, request: Fail) -> BuildView:
    """The attempt ended without an artifact. Repeating it is harmless."""
    with farm.write() as session:
        row = _build(session, build)
        if _ended_by(session, row, request.fence):
            return builds.view(session, row)
        _held(session, build, request.fence)
        if request.released:
            transitions.released(session, row)
        elif request.cancelled or row.state == BuildState.CANCELLING:
            transitions.cancelled(session, row)
        elif request.failure is not None:
            _attach(session, row, request)
            transitions.setback(session, row, request.failure, farm.settings.max_attempts)
        else:
            raise RequestError("say what failed, or 'cancelled', or 'released'", field="failure")
        cache.settle_followers(session, row)
        session.flush()
        view = builds.view(session, row)
    uploads.forget(farm, [uploads.owner_of(build, request.fence)])
    return view


def _promised(farm: Farm, build: str, fence: int, have: set[str]) -> set[str]:
    """Those of the bytes that are here, and now stay here until the attempt ends, so that they need not be sent."""
    with farm.write() as session:
        _held(session, build, fence)
        found = list(session.scalars(select(Blob).where(Blob.sha256.in_(list(have)))))
        uploads.promise(farm, session, uploads.owner_of(build, fence), found)
        return {blob.sha256 for blob in found}


def _attach(session: Session, row: Build, request: Fail) -> None:
    attempt = transitions.current_attempt(session, row)
    if attempt is not None:
        attempt.attachments = dict(request.attachments)


def _build(session: Session, build: str) -> Build:
    row = session.get(Build, build)
    if row is None:
        raise NotFound(f"there is no build {build}", build=build)
    return row


def _held(session: Session, build: str, fence: int) -> tuple[Build, Attempt]:
    row = _build(session, build)
    attempt = transitions.current_attempt(session, row)
    if attempt is None or not holds(row, attempt, fence):
        raise AttemptStale(f"fencing number {fence} does not hold build {build}, which is {row.state}", build=build)
    return row, attempt


def _claim(farm: Farm, session: Session, row: Build, attempt: Attempt) -> Claim:
    job = session.get_one(Job, row.job_id)
    model = models.row(session, row.project_id, row.model_id)
    recipe = Recipe.model_validate(row.recipe)
    dataset_file = None
    if recipe.dataset is not None:
        blob = session.get_one(Blob, recipe.dataset)
        url = _input_url(farm, row, attempt, blob)
        dataset_file = InputFile(path="dataset.npz", sha256=blob.sha256, size=blob.size, url=url)
    files = []
    for file in model.files:
        blob = session.get_one(Blob, file["sha256"])
        files.append(InputFile(**file, url=_input_url(farm, row, attempt, blob)))
    assert attempt.fence is not None
    return Claim(
        build=row.id,
        job=row.job_id,
        attempt=attempt.number,
        fence=attempt.fence,
        recipe=recipe,
        signature=ModelSignature.model_validate(model.signature),
        model_files=files,
        dataset_file=dataset_file,
        dataset_name=job.dataset_name,
        limits=Limits.model_validate(job.limits),
        request_id=job.request_id,
    )


def _input_url(farm: Farm, row: Build, attempt: Attempt, blob: Blob) -> str:
    presigned = farm.store.presign_get(blob.key, "input", farm.settings.upload_expires_s)
    return presigned or f"/v1/work/builds/{row.id}/inputs/{blob.sha256}?fence={attempt.fence}"


def _slot(farm: Farm, file: PublishFile, row: Upload | None) -> PublishSlot:
    if row is None:
        return PublishSlot(sha256=file.sha256, have=True)
    urls = [
        uploads.part_url(farm, row, PartRequest(number=number, sha256=sha256))
        for number, sha256 in enumerate(file.parts, start=1)
    ]
    return PublishSlot(sha256=file.sha256, have=False, upload=row.id, parts=urls)


def _completed(session: Session, row: Build, request: Complete) -> bool:
    """Whether this very completion was taken before."""
    attempt = transitions.current_attempt(session, row)
    same = row.artifact_id == request.manifest.digest() and row.fence == request.fence
    return same and attempt is not None and attempt.state in {AttemptState.SUCCEEDED, AttemptState.FAILED}


def _ended_by(session: Session, row: Build, fence: int) -> bool:
    """Whether this fencing number's attempt has ended."""
    attempt = session.scalar(select(Attempt).where(Attempt.build_id == row.id, Attempt.fence == fence))
    return attempt is not None and attempt.ended is not None


def _check_manifest(row: Build, manifest: Manifest) -> None:
    """A worker may only answer what was asked."""
    recipe = Recipe.model_validate(row.recipe)
    if manifest.model != row.model_id or not recipe.target.met_by(manifest.target):
        raise RequestError("the manifest is of another model or target", field="manifest")
    paths = [file.path for file in manifest.files]
    if len(set(paths)) < len(paths) or RESERVED & set(paths):
        raise RequestError("a path is listed twice, or is one of the farm's own files", field="manifest.files")
    if manifest.entry not in paths:
        raise RequestError(f"the entry {manifest.entry} is not among the files", field="manifest.entry")


def _artifact(farm: Farm, session: Session, row: Build, attempt: Attempt, request: Complete) -> Artifact:
    digest = request.manifest.digest()
    known = session.get(Artifact, digest)
    if known is not None and known.evicted is None:
        return known
    assert row.cache_key is not None
    keys.enter(session, farm.signer.public)
    builder = farm.settings.public_url or f"urn:enginehouse:farm:{farm.signer.public.id}"
    said = provenance.statement(session, row, attempt, request.manifest, builder)
    verification = request.report.verification
    artifact = known or Artifact(id=digest)  # one whose files were given up has been built anew, and is told of anew
    artifact.serial = ids.new("artifact")
    artifact.cache_key = row.cache_key
    artifact.build_id = row.id
    artifact.model_id = row.model_id
    artifact.agrees = verification is None or verification.agrees
    artifact.manifest = request.manifest.model_dump(mode="json")
    artifact.report = request.report.model_dump(mode="json")
    artifact.envelope = farm.signer.sign(said).to_json().decode()
    artifact.created = artifact.last_used = now(session)
    artifact.evicted = None
    session.add(artifact)
    uses.keep(session, artifact.serial, uses.ARTIFACT, [file.sha256 for file in request.manifest.files])
    return artifact
