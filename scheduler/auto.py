"""``auto`` in a submission: one build for every pool that could take it, with the gates that its choice must meet.

And the way back, for a job that is submitted again: the pools of then may have gone, and the gates may be others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from enginehouse.gates import Gates
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


def ungated(target: Target, gates: Gates) -> Target:
    """Without the gates that a submission wrote into it. Pure."""
    if target.backend != AUTO or target.options.get("gates") != _written(gates):
        return target
    return target.model_copy(update={"options": {k: v for k, v in target.options.items() if k != "gates"}})


def gathered(targets: Sequence[Target], pools: Collection[str]) -> list[Target]:
    """For each target what it was before it was spread over some of these pools. Pure."""
    spread: dict[str, list[Target]] = {}
    for target in targets:
        if target.backend == AUTO and len(target.requires) == 1 and target.requires[0] in pools:
            bare = target.model_copy(update={"requires": ()})
            spread.setdefault(bare.model_dump_json(), []).append(target)
    whole = {
        target.model_dump_json(): target.model_copy(update={"requires": ()})
        for alike in spread.values()
        if len(alike) > 1  # one alone was asked for by its pool's name
        for target in alike
    }
    return [whole.get(target.model_dump_json(), target) for target in targets]


def _written(gates: Gates) -> dict[str, Any]:
    return gates.about_the_model().model_dump(mode="json", exclude_none=True)


def _gated(target: Target, request: JobRequest) -> Target:
    """With the job's gates about accuracy and size, unless it brings its own: they are part of what is asked for."""
    gates = _written(request.gates_of(target))
    if not gates or "gates" in target.options:
        return target
    return target.model_copy(update={"options": {**target.options, "gates": gates}})


def _spread(target: Target, model_format: str, online: Sequence[PoolState], beside: Sequence[Target]) -> list[Target]:
    pools = sorted(pool.name for pool in place(target, model_format, online, beside).pools)
    if target.requires or len(pools) < 2:
        return [target]
    return [target.model_copy(update={"requires": (pool,)}) for pool in pools]
