"""What the API shows of each thing. All times are UTC, ISO 8601."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.bundle import Manifest
from enginehouse.capability import Capability, Hardware
from enginehouse.constraints import Fact
from enginehouse.datasets import DatasetKind, InputStatistics
from enginehouse.errors import Failure
from enginehouse.gates import Gates
from enginehouse.report import Report
from enginehouse.request import Limits
from enginehouse.signature import ModelFile, ModelSignature, TensorSpec
from enginehouse.states import AttemptState, BuildState, JobState, Origin, Phase, PoolMode, Priority, WorkerMode
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
    shared: bool = Field(
        default=False, description="whether other projects that have the same bytes may be given what was built of it"
    )
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
    pinned: bool = Field(default=False, description="whether the project keeps it, whatever its age")
    pin_note: str = Field(default="", description="why, as whoever pinned it wrote")
    last_used: datetime | None = Field(
        default=None, description="when it last answered a build, was downloaded or resolved, to within an hour"
    )
    evicted: datetime | None = Field(
        default=None, description="when its files were removed; manifest, report and provenance stay"
    )
    manifest: Manifest
    report: Report
    created: datetime


class Wait(BaseModel):
    """Where a build stands in line. The times are those of builds of its kind; None where none was ever built."""

    ahead: int = Field(description="builds that are expected to begin before it")
    least_s: float | None = Field(default=None, description="it begins in so many seconds at the soonest")
    most_s: float | None = Field(default=None, description="and in so many at the latest, if nothing changes")


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
    wait: Wait | None = Field(default=None, description="its place in line; only where one job or build is asked for")
    origin: Origin | None
    artifact: str | None
    artifact_evicted: datetime | None = Field(
        default=None, description="when the artifact's files were removed; the same submission builds it anew"
    )
    promoted: bool = Field(default=False, description="whether the artifact is the build's answer")
    gates: Gates = Field(default_factory=Gates, description="what it must meet: the job's, with its target's own")
    baselines: tuple[Target, ...] = Field(
        default=(), description="what it is measured against besides its source model"
    )
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
    submitted_by: str | None = Field(
        default=None, description="a person, or a token of the project; null: not known, or the farm's own loopback"
    )
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
    mode: WorkerMode = Field(default=WorkerMode.OPEN, description="in any mode but 'open' it takes nothing new")
    mode_reason: str = Field(default="", description="the operator's words")
    slots: int
    busy: int
    hardware: Hardware
    facts: dict[str, Fact] = Field(
        default_factory=dict,
        description="what constraints can ask about beside the pool's name and the toolchain's packages",
        examples=[{"cpu.cores": 8, "cpu.isa": ["avx2"], "memory_gb": 67}],
    )
    capabilities: list[Capability]
    signed_on: datetime
    last_seen: datetime


class PoolView(BaseModel):
    """A pool: all workers that may stand in for each other."""

    name: str
    mode: PoolMode
    mode_reason: str = Field(default="", description="the operator's words")
    hardware_class: str
    tags: list[str]
    backends: list[str]
    workers: int = Field(description="workers online, whatever their mode")
    slots: int = Field(description="slots of the workers online that are open")
    busy: int = Field(description="attempts that are dispatched to the pool or run there")
    waiting: int = Field(description="builds in line that could go there; one may count in several pools")


class MaintenanceView(BaseModel):
    """Whether the farm is in maintenance: submissions are accepted, nothing is dispatched, what runs goes on."""

    on: bool
    reason: str = ""
    by: str = Field(default="", description="whose token switched it on")
    since: datetime | None = None


class QuarantineView(BaseModel):
    """A build that ended its attempts by the farm's fault. What asks for the same fails at once until its release."""

    build: str = Field(description="the build that holds the evidence: its attempts, their logs and what they left")
    job: str
    project: str
    model: str
    target: Target
    last: str = Field(description="error code of its last attempt")
    workers: list[str] = Field(description="names of the workers that tried it")
    created: datetime


class Event(BaseModel):
    """A change, in the order in which it was committed. ``id`` is the cursor."""

    id: int
    time: datetime
    kind: str = Field(examples=["build.running", "build.phase", "job.succeeded", "worker.online"])
    project: str | None = None
    job: str | None = None
    build: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class EventPage(BaseModel):
    """Events after a cursor, oldest first."""

    items: list[Event]
    next: int = Field(description="the cursor to go on with; it moves also where nothing matched")
    newest: int = Field(description="the newest event's cursor: where whoever wants only what comes begins")


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


class ProjectView(BaseModel):
    """A tenant: its share of the farm, and what it may use of it. A quota that is null is the farm's own."""

    name: str
    weight: float = Field(description="its share of busy slots beside the weights of others")
    most_running: int | None = Field(description="builds that it may have under way")
    most_waiting: int | None = Field(description="builds that it may have waiting")
    most_bytes: int | None = Field(description="bytes of models, datasets and artifacts that it may keep")
    running: int = Field(description="builds under way")
    waiting: int = Field(description="builds that wait")
    created: datetime


class ProjectChange(BaseModel):
    """What to change of a project; a field that is not given stays, a quota of null becomes the farm's own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    weight: float = Field(default=1.0, ge=0.001, le=1000)
    most_running: int | None = Field(default=None, ge=1, le=2**31 - 1)
    most_waiting: int | None = Field(default=None, ge=1, le=2**31 - 1)
    most_bytes: int | None = Field(default=None, ge=0, le=2**62)


class TokenView(BaseModel):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[str]
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None
    person: str | None = Field(default=None, description="whose own it is; null: the project's")


class KeyView(BaseModel):
    """A public key that the farm signs, or has signed, provenance with."""

    id: str = Field(description="SHA-256 (hex) of the key's DER form; the 'keyid' of signatures")
    algorithm: str = Field(default="ed25519")
    pem: str = Field(description="the key as OpenSSL reads it")
    current: bool = Field(description="whether the process that answers signs with it")
    created: datetime = Field(description="when the farm used it first")
