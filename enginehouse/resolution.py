"""The resolver's words: what a host asks for, and what it is answered."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.fingerprint import Fingerprint
from enginehouse.gates import Gates
from enginehouse.reasons import Reason
from enginehouse.request import Sha256
from enginehouse.shapes import Shapes
from enginehouse.targets import Precision, Target


class Goal(StrEnum):
    """What the best one is best at."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    SIZE = "size"


class Nearness(StrEnum):
    """How much the machine that an artifact was timed on is like the host."""

    SAME = "same"
    """the same hardware class: the numbers are the host's own"""
    ALIKE = "alike"
    """the same vendor and instruction sets, or the same model of GPU: the order is likely, the numbers are not"""
    ELSEWHERE = "elsewhere"


class ResolveRequest(BaseModel):
    """The body of ``POST /v1/resolve``."""

    model_config = ConfigDict(extra="forbid")

    model: Sha256 = Field(description="model id")
    host: Fingerprint
    goal: Goal = Goal.LATENCY
    gates: Gates = Field(
        default_factory=Gates, description="bounds that the artifact must meet, such as the largest loss of accuracy"
    )
    backends: list[Annotated[str, Field(max_length=32)]] = Field(
        default_factory=list, max_length=16, description="only these; empty: any"
    )
    precisions: list[Precision] = Field(default_factory=list, max_length=16, description="only these; empty: any")
    shapes: Shapes = Field(default_factory=dict, description="input name to the shape that it will be fed")
    dataset: str | None = Field(
        default=None, description="for builds that are enqueued: dataset id (SHA-256), NAME or NAME@VERSION"
    )
    enqueue: bool = Field(
        default=False, description="where nothing is good enough, submit a job for what online workers can build"
    )


class Measured(BaseModel):
    """An artifact's numbers, and where they were taken. Times are milliseconds."""

    hardware_class: str
    nearness: Nearness
    p50_ms: float
    p50_low_ms: float | None = Field(default=None, description="lower end of the median's confidence interval")
    p50_high_ms: float | None = Field(default=None, description="its upper end")
    p90_ms: float
    p99_ms: float
    items_per_s: float | None = Field(default=None, description="the most that were measured side by side")
    speedup: float
    speedup_low: float | None = None
    baseline: str
    threads: int
    shapes: dict[str, list[int]]
    disturbed: bool


class Choice(BaseModel):
    """An artifact that can run on the host."""

    artifact: str
    target: Target
    entry: str = Field(description="the file of the bundle that the runtime loads")
    runtime: dict[str, str] = Field(description="package to version that it was made and proven with")
    size: int = Field(description="bytes of the model files")
    why: str = Field(description="why it stands where it does")
    settings: dict[str, Any] = Field(description="the runtime settings to use on the host")
    measured: Measured | None
    notes: list[str] = Field(description="what to know before relying on it there")


class PassedOver(BaseModel):
    """An artifact that is not offered, and the first reason for that."""

    artifact: str
    target: str
    code: Reason
    reason: str
    advice: str = ""


class Resolution(BaseModel):
    """The best artifact for a host, or the coded reason why there is none."""

    model: str
    host: str = Field(description="the host's hardware class")
    goal: Goal
    best: Choice | None
    others: list[Choice] = Field(description="those that can run there too, in their order")
    passed_over: list[PassedOver]
    complete: bool = Field(description="false: only the newest artifacts of the model were looked at")
    code: Reason | None = Field(default=None, description="why there is none: the reason of the one that came nearest")
    reason: str = ""
    advice: str = ""
    buildable: list[str] = Field(
        default_factory=list, description="where there is none: targets that online workers could build for the host"
    )
    job: str | None = Field(default=None, description="the job that was asked for with 'enqueue'")
    pending: bool = Field(default=False, description="the job is not over: ask again when it is")
