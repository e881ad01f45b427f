"""One run: load, faults one after the other, calm, and the look at what became of every promise."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from chaos import faults, figures
from chaos.faults import Fault, Happened, Lengths, Scene
from chaos.figures import Figures
from chaos.ledger import Ledger
from chaos.load import Load
from chaos.stack import Shape, Stack

_RECOVER_S = 180.0
_LOOK_S = 0.1
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Plan:
    """A form of the suite. ``jobs`` is how many are submitted at least; the load goes on while faults are left."""

    shape: Shape
    lengths: Lengths
    times: tuple[tuple[Fault, int], ...]
    jobs: int
    ahead: int
    rest_s: float
    end_s: float


def _settings(heartbeat_s: float, lease_s: float, expires_s: float, tick_s: float) -> dict[str, str]:
    return {
        "ENGINEHOUSE_HEARTBEAT_S": str(heartbeat_s),
        "ENGINEHOUSE_LEASE_S": str(lease_s),
        "ENGINEHOUSE_DISPATCH_EXPIRES_S": str(expires_s),
        "ENGINEHOUSE_TICK_S": str(tick_s),
    }


LONG = Plan(
    shape=Shape(settings=_settings(5, 20, 10, 1)),  # the farm's own defaults
    lengths=Lengths(lease_s=20, expires_s=10, store_s=45, outage_s=10, disk_s=20, late_s=30),
    times=(
        (faults.kill_worker, 5),
        (faults.kill_child, 5),
        (faults.kill_scheduler, 3),
        (faults.kill_schedulers, 1),
        (faults.kill_api, 3),
        (faults.kill_apis, 1),
        (faults.kill_ours, 1),
        (faults.flush_redis, 2),
        (faults.restart_redis, 2),
        (faults.restart_postgres, 2),
        (faults.kill_store, 1),
        (faults.freeze_store, 1),
        (faults.freeze_worker, 2),
        (faults.fill_disk, 2),
        (faults.move_clock, 3),
        (faults.repeat_messages, 3),
        (faults.delay_messages, 1),
    ),
    jobs=150,
    ahead=12,
    rest_s=2.0,
    end_s=300,
)
"""Some ten minutes on two cores."""

SHORT = Plan(
    shape=Shape(workers=2, settings=_settings(0.5, 4, 2, 0.25)),
    lengths=Lengths(lease_s=4, expires_s=2, store_s=6, outage_s=1, disk_s=2, late_s=4),
    times=(
        (faults.kill_worker, 1),
        (faults.kill_child, 1),
        (faults.kill_scheduler, 1),
        (faults.kill_api, 1),
        (faults.restart_redis, 1),
        (faults.restart_postgres, 1),
        (faults.kill_store, 1),
        (faults.freeze_worker, 1),
        (faults.fill_disk, 1),
        (faults.move_clock, 1),
        (faults.repeat_messages, 1),
    ),
    jobs=8,
    ahead=3,
    rest_s=0.2,
    end_s=90,
)
"""For every test run: a minute or so on two cores, with short leases."""


def run(plan: Plan, seed: int, folder: Path, say: Callable[[str], None]) -> Figures:
    """Do it, and leave nothing running. Raises StackFailed when a part does not come back."""
    began = time.monotonic()
    ledger = Ledger()
    with Stack(folder, plan.shape, say) as stack:
        say(f"the farm is up after {time.monotonic() - began:.1f} s")
        load = Load(stack, ledger, seed, ahead=plan.ahead)
        load.start()
        try:
            happened = _faults(plan, stack, random.Random(seed), say)
            while len(ledger) < plan.jobs and not load.broke:
                time.sleep(_LOOK_S)
        except BaseException:
            load.finish(abandon=True)
            raise
        load.finish()
        say(f"{len(ledger)} submissions were accepted; waiting for their ends")
        if stack.clock is not None:
            stack.clock.move(0)
        ledger.await_end(stack, plan.end_s)
        with Session(stack.engine) as session, stack.client() as client:
            found = ledger.audit(session, MAX_ATTEMPTS)
            ledger.read_artifacts(session, client, folder / "artifacts", found)
        found.wrong += [f"a client broke off: {error!r}" for error in load.broke]
        return Figures(
            seed=seed,
            shape=f"{plan.shape.apis} API processes, {plan.shape.schedulers} schedulers, {plan.shape.workers} workers",
            settings=dict(plan.shape.settings),
            seconds=round(time.monotonic() - began, 1),
            findings=found,
            refused=dict(sorted(load.refused.items())),
            longest_acceptance_s=round(load.longest_acceptance_s, 2),
            noticed_s=figures.noticed(stack, happened),
            recovered=figures.recovered(stack, happened),
            lacking=dict(stack.lacking),
        )


def _faults(plan: Plan, stack: Stack, chance: random.Random, say: Callable[[str], None]) -> list[Happened]:
    """One after the other, each after the farm has ended a build again."""
    scene = Scene(stack, plan.lengths, chance)
    happened: list[Happened] = []
    _await_build(stack, time.time())
    for fault in faults.schedule(chance, plan.times):
        one = fault(scene)
        happened.append(one)
        said = f"skipped: {one.skipped}" if one.skipped else f"back after {one.back - one.began:.1f} s"
        note = f" ({one.note})" if one.note else ""
        seconds = None if one.skipped else _await_build(stack, one.back)
        ended = "" if seconds is None else f", a build ended {seconds:.1f} s later"
        say(f"{one.name}, {one.part}{note}: {said}{ended}")
        time.sleep(chance.random() * plan.rest_s)
    return happened


def _await_build(stack: Stack, since: float) -> float | None:
    """Seconds until a build ended; None: none did for a long time, which the figures will show."""
    until = time.monotonic() + _RECOVER_S
    while time.monotonic() < until:
        try:
            seconds = figures.first_end(stack, since)
        except SQLAlchemyError:
            seconds = None
        if seconds is not None:
            return seconds
        time.sleep(_LOOK_S)
    return None
