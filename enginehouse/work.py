"""The REST that workers use: sign-on, heartbeat, claim, phase and log, publish, complete or fail.

Every call about an attempt carries its fencing number; a stale one is answered with ``farm.attempt_stale``.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.bundle import Manifest
from enginehouse.capability import Capability, Hardware
from enginehouse.errors import Failure
from enginehouse.report import Report
from enginehouse.request import Limits, Recipe, Sha256
from enginehouse.signature import ModelFile, ModelSignature
from enginehouse.states import Phase, WorkerMode
from enginehouse.uploads import UploadRequest
from enginehouse.views import PartUrl

Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""What the registry counts: attempts, fencing numbers, lines."""


MOST_ATTACHED = 64 * 1024
"""Characters of one attachment."""


KEPT_BYTES = 64 * 2**20
"""A toolchain's cache that is larger is neither taken nor given."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignOn(_Body):
    """A worker's announcement. A new ``boot_id`` under the same name ends the old one's leases."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    boot_id: str = Field(min_length=8, max_length=64)
    slots: int = Field(ge=1, le=256)
    pipeline: str = Field(description="version of the build pipeline; part of the cache key")
    hardware: Hardware
    capabilities: list[Capability]


class SignedOn(BaseModel):
    """What the worker needs to work. Seconds."""

    worker: str = Field(description="worker id")
    pool: str
    queue: str = Field(description="the pool's Celery queue, to consume")
    own_queue: str = Field(description="the worker's own, to consume as well")
    heartbeat_s: float
    lease_s: float
    mode: WorkerMode = Field(default=WorkerMode.OPEN, description="as an operator left it")


class Held(_Body):
    """An attempt that the worker holds."""

    build: str
    fence: Number


class Heartbeat(_Body):
    """Renews the leases of what is held. Sent by the agent, not by the build."""

    worker: str
    boot_id: str
    held: list[Held] = Field(default_factory=list)
    files: list[Sha256] = Field(
        default_factory=list, max_length=1000, description="models and datasets in its local cache, the newest of them"
    )


class HeartbeatReply(BaseModel):
    """What the worker must do now."""

    known: bool = Field(description="False: sign on again")
    cancel: list[Held] = Field(default_factory=list, description="stop these; then report them as cancelled")
    drop: list[Held] = Field(default_factory=list, description="no longer yours: stop these and say nothing")
    waiting: int = Field(default=0, description="dispatched to this worker's queue and not claimed yet")
    mode: WorkerMode = Field(default=WorkerMode.OPEN, description="in any mode but 'open': claim nothing")
    mode_reason: str = ""
    leave: bool = Field(default=False, description="it is to leave, and the farm knows of nothing that it holds")


class ClaimRequest(_Body):
    """Take the attempt that a message named."""

    worker: str
    boot_id: str
    attempt: Number


class InputFile(ModelFile):
    """A file to fetch: address (absolute, or a path of the farm) beside path, SHA-256 and size."""

    url: str


class Claim(BaseModel):
    """The attempt is yours: all that the pipeline needs."""

    build: str
    job: str
    attempt: int
    fence: Number
    recipe: Recipe
    signature: ModelSignature
    model_files: list[InputFile] = Field(description="the first is the model")
    dataset_file: InputFile | None = None
    dataset_name: str | None = None
    limits: Limits
    request_id: str = ""


class PhaseUpdate(_Body):
    """The build has entered a phase."""

    fence: Number
    phase: Phase


class WorkLogLine(_Body):
    """A captured line; ``seq`` counts from 1, so a repeated delivery is harmless."""

    seq: int = Field(ge=1, le=2**31 - 1)
    time: datetime
    text: str = Field(max_length=8192)


class LogBatch(_Body):
    """Captured lines in order."""

    fence: Number
    lines: list[WorkLogLine] = Field(max_length=1000)


class PublishFile(UploadRequest):
    """A file to upload, with the SHA-256 of each of its parts; parts are cut by ``enginehouse.uploads.part_size``."""

    parts: list[Sha256] = Field(min_length=1, max_length=10_000)


class PublishRequest(_Body):
    """Files to upload for this attempt."""

    fence: Number
    files: list[PublishFile] = Field(max_length=1000)


class PublishSlot(BaseModel):
    """Where a file goes. ``have``: the farm holds these bytes already, nothing to send."""

    sha256: str
    have: bool
    upload: str | None = Field(default=None, description="upload id")
    parts: list[PartUrl] = Field(default_factory=list, description="where to PUT every part, in order")


class PublishReply(BaseModel):
    """One slot for each file, in the order asked."""

    slots: list[PublishSlot]


class Complete(_Body):
    """The bundle is up; make it the build's artifact."""

    fence: Number
    uploads: list[str] = Field(description="upload ids to seal")
    manifest: Manifest
    report: Report


AttachmentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
AttachmentText = Annotated[str, Field(max_length=MOST_ATTACHED)]


class Fail(_Body):
    """The attempt ended without an artifact. ``cancelled``: it was stopped on request."""

    fence: Number
    failure: Failure | None = None
    attachments: dict[AttachmentName, AttachmentText] = Field(default_factory=dict, max_length=8)
    cancelled: bool = False
    released: bool = Field(default=False, description="the worker shuts down; costs the build no attempt")


class KeptUpdate(_Body):
    """The query of a toolchain cache that is sent: for whom it is, and which version it was made from."""

    label: str = Field(min_length=1, max_length=300, pattern=r"^[ -~]+$", description="for whom it is, in words")
    version: Number = Field(description="the version that it was made from; 0: there was none")
    sha256: Sha256 = Field(description="of the bytes that are sent")


class KeptView(BaseModel):
    """What a toolchain may keep from one build to the next, as the farm has it now."""

    key: str
    label: str
    version: int = Field(description="counts from 1")
    sha256: str
    size: int
    url: str = Field(description="address of the bytes, absolute or a path of the farm")
    updated: datetime


def kept_key(label: str) -> str:
    """The key of a toolchain's cache: SHA-256 (hex) of its label."""
    return hashlib.sha256(label.encode()).hexdigest()
