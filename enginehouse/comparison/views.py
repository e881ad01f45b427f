"""What a comparison is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from enginehouse.bundle import Manifest
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.targets import Target

MOST_COMPARED = 8


@dataclass(frozen=True)
class Subject:
    """A build that has a report, as the registry knows it."""

    build: str
    artifact: str
    recipe: Recipe
    manifest: Manifest
    report: Report


class Side(BaseModel):
    """A build that is compared. Sentences call it by its label."""

    label: str = Field(examples=["A"])
    build: str
    artifact: str
    model: str
    target: Target
    hardware_class: str
    agrees: bool | None = Field(description="with the source model; null: it was not verified")


class Difference(BaseModel):
    """One thing that is not the same for all builds."""

    field: str = Field(examples=["target.precision"])
    values: list[Any] = Field(description="one per build; null where a build has none")


class Better(StrEnum):
    """Which way a metric is better."""

    LOWER = "lower"
    HIGHER = "higher"


class MetricRow(BaseModel):
    """One measured value of every build. The lists have an entry per build."""

    group: str = Field(examples=["latency", "accuracy"])
    name: str = Field(examples=["p50_ms"])
    of: str = Field(default="", description="what it is of: an output of the model, streams and batch")
    unit: str = ""
    better: Better
    values: list[float | None]
    intervals: list[tuple[float, float] | None] = Field(description="confidence interval, where one is known")
    ratios: list[float | None] = Field(description="value / the base's value")
    within: list[bool] = Field(description="the difference to the base lies inside the confidence intervals")
    best: int | None = Field(description="index of the best build; null where that cannot be said")


class Change(StrEnum):
    """What became of the source nodes that layers stand for."""

    SAME = "same"
    PRECISION = "precision"
    """the same layers, in another precision"""
    FUSED = "fused"
    """the same nodes, put together in other layers"""
    ONLY_BASE = "only_base"
    ONLY_OTHER = "only_other"


class ComparedLayer(BaseModel):
    """One layer of one build."""

    name: str
    type: str
    precision: str = Field(description="in the words of targets, whatever the runtime calls it")
    time_us: float | None


class LayerChange(BaseModel):
    """The layers of both builds that stand for the same source nodes."""

    change: Change
    nodes: list[str] = Field(description="source nodes; a layer that stands for none is called by its own name")
    base: list[ComparedLayer]
    other: list[ComparedLayer]
    base_us: float | None = Field(description="time of the base's layers together, microseconds")
    other_us: float | None
    delta_us: float | None = Field(description="other - base; null where either was not timed")


class LayerDiff(BaseModel):
    """The layers of one build against the base's, in the base's order."""

    build: str
    label: str
    counts: dict[Change, int]
    changes: list[LayerChange]


class Comparison(BaseModel):
    """Two or more builds side by side. The first one is the base."""

    builds: list[Side]
    request: list[Difference] = Field(description="what was asked for: only what differs")
    environment: list[Difference] = Field(description="versions, hardware, settings: only what differs")
    same_hardware: bool
    latency_caveats: list[str] = Field(
        description="why times of these builds cannot be judged side by side; empty: they can"
    )
    accuracy_caveats: list[str] = Field(description="why their errors cannot be; empty: they can")
    metrics: list[MetricRow]
    layers: list[LayerDiff] = Field(description="each further build against the base; empty without layer tables")
