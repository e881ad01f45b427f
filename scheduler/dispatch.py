"""The scheduler's round: take back what was lost, send what is owed, dispatch what waits."""

from __future__ import annotations

from dataclasses import replace

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.messages import BUILD
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature
from enginehouse.states import BuildState, Origin
from scheduler import cache, models, outbox, pools, transitions, workers
from scheduler.cachekey import cache_key
from scheduler.farm import Farm
from scheduler.placement import Placement, PoolState, place
from scheduler.registry.engine import now
from scheduler.registry.tables import Build

log = structlog.get_logger(__name__)

ROUND = 500
"""Waiting builds that one round looks at."""


def tick(farm: Farm) -> None:
    """One round. Safe to run at any time, by any number of schedulers."""
    workers.reap(farm)
    outbox.relay(farm)
    if _dispatch(farm):
        outbox.relay(farm)


def _dispatch(farm: Farm) -> int:
    """Match waiting builds with free slots: by priority, then by age. Returns how many were sent or ended."""
    moved = 0
    with farm.read() as session:
        if not _waiting(session):
            return 0
    with farm.write(durable=False) as session:
        online = {pool.name: pool for pool in pools.online(session)}
        ahead = dict.fromkeys(online, 0)
        for build in _waiting(session):
            recipe = Recipe.model_validate(build.recipe)
            model = models.row(session, build.project_id, build.model_id)
            model_format = ModelSignature.model_validate(model.signature).format
            placement = place(recipe.target, model_format, list(online.values()))
            artifact = cache.find(session, recipe, placement.pools)
            if artifact is not None:
                cache.verdict(session, build, artifact, Origin.CACHE)
                cache.settle_followers(session, build)
                moved += 1
            elif build.rung and (leader := cache.leader(session, build)) is not None:
                cache.join(session, build, leader)  # a submission joined when it came; a rung came into being later
            elif placement.now is None:
                transitions.explain(session, build, _reason(placement, ahead))
            else:
                _send(farm, session, build, recipe, placement.now)
                online[placement.now.name] = replace(placement.now, free=placement.now.free - 1)
                moved += 1
    return moved


def _waiting(session: Session) -> list[Build]:
    query = (
        select(Build)
        .where(Build.state == BuildState.WAITING.value, Build.joined_to.is_(None), Build.not_before <= now(session))
        .order_by(Build.rank.desc(), Build.id)
        .limit(ROUND)
    )
    return list(session.scalars(query))


def _send(farm: Farm, session: Session, build: Build, recipe: Recipe, pool: PoolState) -> None:
    capability = pool.capability(recipe.target.backend)
    assert capability is not None  # place() chose the pool for it
    key = cache_key(recipe, capability, pool.hardware_class, pool.pipeline)
    attempt = transitions.dispatched(session, build, pool.name, key, farm.settings.dispatch_expires_s)
    body = {"build": build.id, "attempt": attempt.number}
    outbox.owe(session, pools.queue_of(pool.name), BUILD, body)


def _reason(placement: Placement, ahead: dict[str, int]) -> str:
    """Why it is not dispatched now; counts those before it in the line of the pool that it could go to."""
    if not placement.pools:
        return placement.reason
    pool = placement.pools[0].name
    before = ahead[pool]
    ahead[pool] += 1
    line = "it is the next" if before == 0 else f"{before} ahead of it"
    return f"every slot of pool {pool} is busy; {line}"
