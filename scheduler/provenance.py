"""The provenance of an artifact, put together from what the registry knows of the build that made it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from enginehouse import __version__
from enginehouse.bundle import Manifest
from enginehouse.capability import Hardware
from enginehouse.provenance import (
    BUILD_TYPE,
    BuildDefinition,
    Builder,
    Dependency,
    Digest,
    Metadata,
    Predicate,
    RunDetails,
    Statement,
    package_url,
    subjects,
)
from enginehouse.request import Recipe
from scheduler import models
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, Pool, Worker


def statement(session: Session, build: Build, attempt: Attempt, manifest: Manifest, builder: str) -> Statement:
    """What the farm says of the bundle that this attempt has finished now. No name of a project or person is in it."""
    pool = session.get_one(Pool, attempt.pool)
    worker = session.get_one(Worker, attempt.worker_id)
    started: datetime = attempt.started or attempt.created
    definition = BuildDefinition(
        build_type=BUILD_TYPE,
        external_parameters=Recipe.model_validate(build.recipe).model_dump(mode="json"),
        internal_parameters={
            "pipeline": pool.pipeline,
            "cacheKey": build.cache_key,
            "hardwareClass": pool.hardware_class,
            "hardware": Hardware.model_validate(worker.hardware).model_dump(mode="json"),
            "runtimeSettings": manifest.settings,
        },
        resolved_dependencies=[*_inputs(session, build), *_toolchain(manifest)],
    )
    details = RunDetails(
        builder=Builder(id=builder, version={"enginehouse": __version__}),
        metadata=Metadata(invocation_id=f"{build.id}/{attempt.number}", started_on=started, finished_on=now(session)),
    )
    return Statement(subject=subjects(manifest), predicate=Predicate(build_definition=definition, run_details=details))


def _inputs(session: Session, build: Build) -> list[Dependency]:
    """The model's files and the dataset. A lone file's name is its uploader's own and is left out."""
    files = models.row(session, build.project_id, build.model_id).files
    uri = f"urn:enginehouse:model:{build.model_id}"
    found = [
        Dependency(
            name=f"model/{file['path']}" if len(files) > 1 else "model", uri=uri, digest=Digest(sha256=file["sha256"])
        )
        for file in files
    ]
    dataset = Recipe.model_validate(build.recipe).dataset
    if dataset is not None:
        uri = f"urn:enginehouse:dataset:{dataset}"
        found.append(Dependency(name="dataset", uri=uri, digest=Digest(sha256=dataset)))
    return found


def _toolchain(manifest: Manifest) -> list[Dependency]:
    packages = sorted(manifest.runtime.items())
    return [Dependency(name=package, uri=package_url(package, version)) for package, version in packages]
