"""Batches: many jobs that were asked for at once, and are shown and cancelled as one."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, field_validator

from enginehouse.errors import TargetError
from enginehouse.request import JobRequest, Limits, Sha256
from enginehouse.states import JobState, Priority
from enginehouse.targets import read_requirement

MOST_JOBS = 500


class BatchRequest(BaseModel):
    """The body of ``POST /v1/batches``. All of its jobs are accepted, or none."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200, description="for people")
    jobs: list[JobRequest] = Field(min_length=1, max_length=MOST_JOBS)


class RebuildRequest(BaseModel):
    """The body of ``POST /v1/batches/rebuild``: build artifacts again, and promote what has not become worse.

    Each is asked for as it was, with further constraints on where (a newer toolchain, say), and with gates that are
    derived from its own report. What became worse ends as failed, with its artifact kept as evidence.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field(default="", max_length=200, description="for people")
    artifacts: list[Sha256] = Field(min_length=1, max_length=MOST_JOBS)
    requires: list[str] = Field(
        default_factory=list, max_length=16, description="tags and constraints beside their own",
        examples=[["openvino>=2026.4"]],
    )  # fmt: skip
    max_slowdown: float = Field(
        default=0.05, ge=0, lt=1, description="largest loss of the speed-up over the source model, as a share"
    )
    max_sqnr_loss_db: float = Field(default=1.0, ge=0, description="largest loss of signal to noise, decibels")
    priority: Priority = Priority.LOW
    limits: Limits = Field(default_factory=Limits)

    @field_validator("requires")
    @classmethod
    def _can_be_read(cls, value: list[str]) -> list[str]:
        try:
            read_requirement(value)
        except TargetError as error:
            raise ValueError(error.detail) from error
        return value


class BatchJob(BaseModel):
    """A job of a batch, in short."""

    id: str
    name: str
    model: str
    state: JobState


class BatchView(BaseModel):
    """A batch. Its state is derived from its jobs as theirs are from their builds."""

    id: str
    name: str
    state: JobState
    counts: dict[JobState, int] = Field(description="jobs by state")
    jobs: list[BatchJob] = Field(default_factory=list, description="in the order of the request; not in lists")
    created: datetime
