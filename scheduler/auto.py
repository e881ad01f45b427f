"""``auto`` in a submission: one build for every pool that could take it, with the gates that its choice must meet."""

from __future__ import annotations

from collections.abc import Sequence

from enginehouse.request import JobRequest
from enginehouse.targets import AUTO, Target
from scheduler.placement import PoolState, place


def targets_of(request: JobRequest, model_format: str, online: Sequence[PoolState]) -> list[Target]:
    """The request's targets, with each ``auto`` that requires nothing spread over the pools that are online. Pure."""
    found: list[Target] = []
    for target in request.targets:
        beside = request.baselines_of(target)
        found += _spread(_gated(target, request), model_format, online, beside) if target.backend == AUTO else [target]
    return found


def _gated(target: Target, request: JobRequest) -> Target:
    """With the job's gates about accuracy and size, unless it brings its own: they are part of what is asked for."""
    gates = request.gates_of(target).about_the_model().model_dump(mode="json", exclude_none=True)
    if not gates or "gates" in target.options:
        return target
    return target.model_copy(update={"options": {**target.options, "gates": gates}})


def _spread(target: Target, model_format: str, online: Sequence[PoolState], beside: Sequence[Target]) -> list[Target]:
    pools = sorted(pool.name for pool in place(target, model_format, online, beside).pools)
    if target.requires or len(pools) < 2:
        return [target]
    return [target.model_copy(update={"requires": (pool,)}) for pool in pools]
