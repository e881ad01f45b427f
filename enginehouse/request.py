"""A submission: one model, one or more targets, gates, limits, a priority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enginehouse.baselines import MOST, Baseline, against, distinct
from enginehouse.errors import TargetError
from enginehouse.gates import Gates
from enginehouse.metric import Metric
from enginehouse.shapes import Profile, Shapes
from enginehouse.states import Priority
from enginehouse.targets import Target, TargetLike, parse_target

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Limits(BaseModel):
    """What a build may use before it is stopped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_s: int = Field(default=3600, ge=1, le=86_400, description="seconds from claim to published artifact")
    memory_mb: int = Field(
        default=8192, ge=64, le=1_048_576, description="resident memory of all the build's processes"
    )


class Recipe(BaseModel):
    """Everything about a build that its artifact and report depend on, but for the place where it is built.

    It is part of the cache key; what is not in here (gates, priority, limits, names) cannot change the bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Sha256
    dataset: Sha256 | None = None
    target: Target
    verify: bool = True
    benchmark: bool = True
    seed: int = 0
    shapes: Shapes = Field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()
    metric: Metric | None = None
    baselines: tuple[Baseline, ...] = Field(default=(), max_length=MOST)

    @model_validator(mode="after")
    def _baselines_are_timed(self) -> Self:
        _check_baselines(self.baselines, self.benchmark)
        return self

    def against(self) -> tuple[Target, ...]:
        """The baselines that the artifact is measured against, besides the source model."""
        return against(self.target, self.baselines)


class JobRequest(BaseModel):
    """The body of ``POST /v1/jobs``."""

    model_config = ConfigDict(extra="forbid")

    model: Sha256 = Field(description="model id")
    targets: list[TargetLike] = Field(min_length=1, max_length=64)
    dataset: str | None = Field(
        default=None, description="dataset id (SHA-256), NAME (its newest version) or NAME@VERSION"
    )
    gates: Gates = Field(default_factory=Gates, description="for every target")
    target_gates: dict[str, Gates] = Field(
        default_factory=dict,
        max_length=64,
        description="target of the job in its short form to gates of its own, which take the place of those for all",
        examples=[{"openvino:int8": {"min_speedup": 1.2}}],
    )
    ladder: bool = Field(
        default=False,
        description="where a build is not good enough, go on with higher precisions until one is",
    )
    limits: Limits = Field(default_factory=Limits)
    priority: Priority = Priority.NORMAL
    verify: bool = Field(default=True, description="compare with the source model; without it nothing is proven")
    benchmark: bool = Field(default=True, description="time it, interleaved with the baseline")
    baselines: tuple[Baseline, ...] = Field(
        default=(),
        max_length=MOST,
        description="further targets that every build is measured against, besides its source model; those that "
        "'min_speedup' names are among them by themselves",
        examples=[["openvino:fp32", "onnxruntime:fp32"]],
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the generated inputs, where there is no dataset")
    shapes: Shapes = Field(
        default_factory=dict, description="input name to the shape to feed, for inputs with dynamic dimensions"
    )
    profiles: list[Profile] = Field(
        default_factory=list,
        max_length=16,
        description="input name to its smallest, usual and largest shape; several where an engine serves several uses",
    )
    observed_shapes: list[Shapes] = Field(
        default_factory=list,
        max_length=10_000,
        description="shapes seen in production, from which one profile is derived; instead of 'profiles'",
    )
    metric: Metric | None = Field(
        default=None, description="the job's own measure of source model and artifact on the dataset"
    )
    name: str = Field(default="", max_length=200, description="for people")

    @model_validator(mode="after")
    def _gates_are_of_its_targets(self) -> Self:
        known = {_short(target) for target in self.targets}
        for name in self.target_gates:
            try:
                short = _short(parse_target(name))
            except TargetError as error:
                raise ValueError(f"target_gates: {error.detail}") from None
            if short not in known:
                raise ValueError(f"target_gates: '{name}' is not one of the job's targets, {', '.join(sorted(known))}")
        return self

    @model_validator(mode="after")
    def _metric_has_samples(self) -> Self:
        if self.metric is not None and (self.dataset is None or not self.verify):
            raise ValueError(
                "metric: it is taken over a dataset while verifying; give 'dataset', and leave 'verify' on"
            )
        return self

    @model_validator(mode="after")
    def _baselines_are_few_and_timed(self) -> Self:
        _check_baselines(self.baselines, self.benchmark)
        for target in self.targets:
            wanted = self.baselines_of(target)
            _check_baselines(wanted, self.benchmark)
            if len(wanted) > MOST:
                raise ValueError(
                    f"baselines: {target} would be measured against {len(wanted)}, {', '.join(map(str, wanted))}, with "
                    f"those that its gates name; {MOST} at most"
                )
            others = {str(one) for one in against(target, wanted)}
            for name, own in self.target_gates.items():
                itself = {str(one) for one in own.baselines()} - others
                if itself and _short(parse_target(name)) == _short(target):
                    raise ValueError(f"target_gates: '{name}' has a bound on its speed-up over itself")
        return self

    def baselines_of(self, target: Target) -> tuple[Target, ...]:
        """What a target is measured against: the job's baselines, and those that its gates name."""
        found = {str(one): one for one in self.baselines}
        for one in self.gates_of(target).baselines():
            found.setdefault(str(one), one)
        return tuple(found.values())

    def gates_of(self, target: Target) -> Gates:
        """The gates that a target must meet: those for all, with its own in their place."""
        gates = self.gates
        for name, own in self.target_gates.items():
            if _short(parse_target(name)) in (_short(target), target.backend):  # 'auto' is meant wherever it goes
                gates = gates.with_own(own)
        return gates


class JobChanges(BaseModel):
    """A job again, with other fields. What is left out stays as it was; ``null`` stands for the field's default."""

    model_config = ConfigDict(extra="forbid")

    model: Sha256 | None = None
    targets: Annotated[list[TargetLike], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="gates of targets that are no longer among them are left out"
    )
    dataset: str | None = None
    gates: Gates | None = None
    target_gates: Annotated[dict[str, Gates], Field(max_length=64)] | None = None
    ladder: bool | None = None
    limits: Limits | None = None
    priority: Priority | None = None
    verify: bool | None = None
    benchmark: bool | None = None
    baselines: Annotated[list[Baseline], Field(max_length=MOST)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    shapes: Shapes | None = None
    profiles: Annotated[list[Profile], Field(max_length=16)] | None = None
    observed_shapes: Annotated[list[Shapes], Field(max_length=10_000)] | None = Field(
        default=None, description="they take the place of the job's profiles"
    )
    metric: Metric | None = None
    name: Annotated[str, Field(max_length=200)] | None = None

    def given(self) -> dict[str, Any]:
        """What was said, as plain data; ``None`` for what shall be the default."""
        return self.model_dump(mode="json", exclude_unset=True)


def fields_of(recipe: Recipe) -> dict[str, Any]:
    """The fields of a JobRequest that asks for a recipe's build again."""
    fields = recipe.model_dump(mode="json")
    return {"targets": [fields.pop("target")], **fields}


def _check_baselines(baselines: Sequence[Target], benchmark: bool) -> None:
    if baselines and not benchmark:
        raise ValueError("baselines: they are measured in the benchmark; leave 'benchmark' on")
    distinct(baselines)


def _short(target: Target) -> str:
    return str(target.model_copy(update={"requires": tuple(sorted(set(target.requires)))}))
