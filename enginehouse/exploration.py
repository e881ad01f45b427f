"""What ``auto`` tried, what came of it, and which one it recommends. Pure data, and the rules that rank it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

from enginehouse.targets import Target

AS_FAST = 0.01
"""Candidates whose medians are this close are equally fast: the more accurate one is recommended."""


Goal = Literal["latency", "throughput"]


class Stage(StrEnum):
    """How far a candidate came."""

    SKIPPED = "skipped"
    """not tried: the budget was spent, or it needs what the job does not have"""
    FAILED = "failed"
    REFUSED = "refused"
    """it disagrees with the source, or misses a gate"""
    TIMED = "timed"
    """verified on some samples and timed shortly; others were faster"""
    RACED = "raced"
    """timed in turns with the others of the last rounds"""
    RECOMMENDED = "recommended"
    """verified on all samples and timed in full against the baseline"""


class Candidate(BaseModel):
    """A target with its runtime settings. Times are of the candidate's own rounds, in turns with the others'."""

    target: Target
    stage: Stage
    reason: str = Field(default="", description="why it came no further")
    code: str = Field(default="", description="error code of the reason, where it has one")
    rounds: int = Field(default=0, description="rounds of the race that it was in")
    p50_ms: float | None = None
    per_s: float | None = Field(default=None, description="inferences per second, where the goal is throughput")
    cosine: float | None = Field(default=None, description="least of all outputs, on the samples of the trial")
    max_abs_error: float | None = None
    size: int | None = Field(default=None, description="bytes of the model files")
    seconds: float = Field(default=0.0, description="spent on converting, verifying and timing it alone")
    pareto: bool = Field(default=False, description="no other candidate is both faster and more accurate")

    @property
    def named(self) -> str:
        """The target with its options, for people."""
        told = ", ".join(f"{name}={value}" for name, value in self.target.options.items())
        return f"{self.target}{f' ({told})' if told else ''}"


class Exploration(BaseModel):
    """The ranked table. The first candidate is the recommended one."""

    goal: Goal
    budget_s: float
    spent_s: float
    samples: int = Field(description="samples that each trial was verified on")
    candidates: list[Candidate]
    reasons: list[str] = Field(description="why the first one is recommended, in sentences")


def speed(one: Candidate) -> float:
    """Seconds an inference: the smaller, the better. Infinite where it was not timed."""
    if one.per_s:
        return 1 / one.per_s
    return one.p50_ms / 1e3 if one.p50_ms else float("inf")


def error(one: Candidate) -> float:
    """Distance from the source model: 1 - cosine, and infinite where it was not verified."""
    return float("inf") if one.cosine is None else 1 - one.cosine


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """By how far they came, then by rounds of the race, then by speed; the Pareto front marked.

    Only candidates that agree are on the front: a wrong answer is not fast.
    """
    order = list(reversed(Stage))
    timed = [one for one in candidates if one.stage in (Stage.TIMED, Stage.RACED, Stage.RECOMMENDED)]
    front = {id(one) for one in timed if not any(_dominates(other, one) for other in timed)}
    marked = [(one.model_copy(update={"pareto": id(one) in front}), one) for one in candidates]
    marked.sort(key=lambda pair: (order.index(pair[1].stage), -pair[1].rounds, speed(pair[1])))
    return [copy for copy, _ in marked]


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The fastest; among those as fast as it, the most accurate. Raises ValueError for none."""
    fastest = min(speed(one) for one in candidates)
    close = [one for one in candidates if speed(one) <= fastest * (1 + AS_FAST)]
    return min(close, key=lambda one: (round(error(one), 6), speed(one)))


def _dominates(other: Candidate, one: Candidate) -> bool:
    no_worse = speed(other) <= speed(one) and error(other) <= error(one)
    return no_worse and (speed(other) < speed(one) or error(other) < error(one))
