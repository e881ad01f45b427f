"""What the API shows of each thing. All times are UTC, ISO 8601."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from enginehouse.bundle import Manifest
from enginehouse.capability import Capability, Hardware
from enginehouse.datasets import DatasetKind, InputStatistics
from enginehouse.errors import Failure
from enginehouse.gates import Gates
from enginehouse.report import Report
from enginehouse.request import Limits
from enginehouse.signature import ModelFile, ModelSignature, TensorSpec
from enginehouse.states import AttemptState, BuildState, JobState, Origin, Phase, Priority
from enginehouse.targets import Target

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list, newest first. ``next`` is the cursor of the page after it, or None."""

    items: list[Item]
    next: str | None = None


class ModelView(BaseModel):
    """An uploaded source model. ``id`` is the SHA-256 of its bytes (of the file list, where there are several)."""

    id: str
    name: str
    size: int
    files: list[ModelFile]
    signature: ModelSignature
    created: datetime


class DatasetView(BaseModel):
    """A named, versioned dataset. ``id`` is the SHA-256 of its bytes."""

    id: str
    name: str
    version: int
    size: int
    kind: DatasetKind = Field(description="how the samples lie in the file")
    samples: int
    labels: bool = Field(default=False, description="whether the samples have labels")
    inputs: list[TensorSpec] = Field(
        description="shape of one sample, without the sample axis; null: the size differs between samples"
    )
    statistics: dict[str, InputStatistics] = Field(default_factory=dict, description="by input")
    created: datetime


class Reach(StrEnum):
    """Whether a model can go to a target."""

    YES = "yes"
    NEEDS = "needs"
    """with a dataset, or with shapes"""
    FAILED = "failed"
    """the newest build of this model for it failed, and not by the farm's fault"""
    NO = "no"


class ReachView(BaseModel):
    """A target that workers have announced, and whether a model can go there."""

    target: str
    reach: Reach
    code: str = Field(default="", description="error code of the reason, where it has one")
    reason: str = ""


class AttemptView(BaseModel):
    """One execution of a build by one worker."""

    number: int
    state: AttemptState
    worker: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    failure: Failure | None
    attachments: list[str] = Field(default_factory=list, description="names of files that a failed attempt left")


class ArtifactView(BaseModel):
    """A bundle. ``id`` is the SHA-256 of its manifest."""

    id: str
    build: str = Field(description="the build that made it")
    promoted: bool = Field(
        default=False,
        description="whether a build of the project succeeded with it; else it is kept as evidence of a failed one",
    )
    manifest: Manifest
    report: Report
    created: datetime


class BuildView(BaseModel):
    """One (model, target) of a job. ``reason`` says why it waits.

    A build that is not good enough keeps its artifact as evidence; ``promoted`` says whether it is an answer.
    """

    id: str
    job: str
    model: str
    target: Target
    state: BuildState
    phase: Phase | None
    reason: str
    origin: Origin | None
    artifact: str | None
    promoted: bool = Field(default=False, description="whether the artifact is the build's answer")
    gates: Gates = Field(default_factory=Gates, description="what it must meet: the job's, with its target's own")
    rung: int = Field(default=0, description="its place in a ladder; 0 is what was asked for")
    ladder_of: str | None = Field(default=None, description="the build that the ladder began with")
    replaced_by: str | None = Field(default=None, description="the next rung, which decides in its place")
    note: str = Field(default="", description="what a ladder did here: in whose place, what was left out, why it ends")
    failure: Failure | None
    attempts: list[AttemptView]
    pool: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None


class JobView(BaseModel):
    """One submission with its builds."""

    id: str
    name: str
    project: str
    model: str
    dataset: str | None
    state: JobState
    priority: Priority
    gates: Gates
    ladder: bool = Field(default=False, description="whether it goes on with higher precisions")
    limits: Limits
    builds: list[BuildView] = Field(description="in the order of its targets; the rungs of a ladder together")
    created: datetime
    ended: datetime | None


class LogLine(BaseModel):
    """One line of a build's log. ``seq`` counts from 1 within an attempt."""

    seq: int
    attempt: int
    time: datetime
    text: str


class AttachmentView(BaseModel):
    """A file that a failed attempt left for whoever looks into it, such as reproduce.py."""

    build: str
    attempt: int
    name: str
    text: str


class LogPage(BaseModel):
    """Lines of one attempt. ``ended``: no line will follow."""

    attempt: int
    lines: list[LogLine]
    ended: bool


class WorkerView(BaseModel):
    """A worker as the farm sees it."""

    id: str
    name: str
    pool: str
    state: str = Field(description="'online', 'lost' or 'gone'")
    slots: int
    busy: int
    hardware: Hardware
    capabilities: list[Capability]
    signed_on: datetime
    last_seen: datetime


class Event(BaseModel):
    """A change, in the order in which it was committed. ``id`` is the cursor."""

    id: int
    time: datetime
    kind: str = Field(examples=["build.running", "build.phase", "job.succeeded", "worker.online"])
    project: str | None = None
    job: str | None = None
    build: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class PartView(BaseModel):
    """One received part of an upload. Parts count from 1."""

    number: int
    size: int
    sha256: str


class PartUrl(BaseModel):
    """Where to PUT a part: the address (absolute, or a path of the farm) and the headers that must be sent."""

    number: int
    url: str
    headers: dict[str, str] = Field(default_factory=dict)


class UploadView(BaseModel):
    """A resumable upload. ``state``: 'open', 'complete' (the bytes are stored) or 'expired'."""

    id: str
    sha256: str
    size: int
    state: str
    part_size: int = Field(description="every part but the last has exactly this many bytes")
    parts: list[PartView] = Field(default_factory=list, description="parts that have arrived")
    expires: datetime


class Health(BaseModel):
    """Answer of ``/readyz``: each part's state in words."""

    ready: bool
    version: str
    checks: dict[str, str]


class TokenView(BaseModel):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[str]
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None


class KeyView(BaseModel):
    """A public key that the farm signs, or has signed, provenance with."""

    id: str = Field(description="SHA-256 (hex) of the key's DER form; the 'keyid' of signatures")
    algorithm: str = Field(default="ed25519")
    pem: str = Field(description="the key as OpenSSL reads it")
    current: bool = Field(description="whether the process that answers signs with it")
    created: datetime = Field(description="when the farm used it first")
