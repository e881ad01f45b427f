"""Artifacts lose their files: those unused for too long, then the least recently used until the budget holds.

Never one that is pinned, that a build of an unfinished job ended with, or that was made or used within the grace.
What is known of it stays: manifest, report, provenance, and the builds that name it. What shall go is planned by
reading; that it still may go is asked again in the transaction that takes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased, load_only

from enginehouse.collection import Collection
from enginehouse.states import JOB_ENDED, BuildState
from scheduler import events
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Artifact, Blob, BlobUse, Build, Job, Pin
from scheduler.retention import uses
from scheduler.retention.usage import artifact_bytes

log = structlog.get_logger(__name__)

_BATCH = 100
_JOB_ENDED = [state.value for state in JOB_ENDED]


def expire(farm: Farm, done: Collection) -> None:
    """Evict what is due, and enter it in ``done``; where that is a dry run, only enter it."""
    plan = _plan(farm)
    done.over_budget = plan.over_budget
    if plan.over_budget:
        log.warning("store.over_budget", bytes=plan.over_budget, budget=farm.settings.store_budget_bytes)
    due = list(plan.due.values())
    for start in range(0, len(due), _BATCH):
        batch = due[start : start + _BATCH]
        for one in batch if done.dry_run else _evict(farm, batch):
            done.artifacts.add(one.artifact, one.why, one.frees)


def evictable(session: Session, farm: Farm) -> Select[Artifact]:
    """Artifacts that may go at all."""
    quiet = now(session) - timedelta(seconds=farm.settings.gc_grace_s)
    pinned = exists().where(Pin.artifact_id == Artifact.id)
    unfinished = exists().where(Build.artifact_id == Artifact.id, Job.id == Build.job_id, Job.state.not_in(_JOB_ENDED))
    quietly = Artifact.evicted.is_(None) & (Artifact.created < quiet) & (Artifact.last_used < quiet)
    return select(Artifact).where(quietly, ~pinned, ~unfinished)


@dataclass(frozen=True)
class _Due:
    """An artifact that shall go. ``frees``: bytes that no artifact consists of afterwards."""

    artifact: str
    serial: str
    why: str
    frees: int


@dataclass
class _Plan:
    """By serial, in the order in which they go."""

    due: dict[str, _Due] = field(default_factory=dict)
    owners_gone: Counter[str] = field(default_factory=Counter)
    over_budget: int = 0

    def add(self, session: Session, rows: Sequence[Artifact], why: str, until: int | None = None) -> int:
        """Enter rows, in order, until they have freed ``until`` bytes. Returns the bytes that they free."""
        consists = _consists(session, [row.serial for row in rows])
        freed = 0
        for row in rows:
            if until is not None and freed >= until:
                break
            frees = 0
            for sha256, size, owners in consists.get(row.serial, []):
                self.owners_gone[sha256] += 1
                frees += size if self.owners_gone[sha256] == owners else 0
            self.due[row.serial] = _Due(row.id, row.serial, why, frees)
            freed += frees
        return freed


def _plan(farm: Farm) -> _Plan:
    settings, plan = farm.settings, _Plan()
    if settings.keep_days:
        why = f"unused for {settings.keep_days} days"
        for session, rows in _pages(farm, timedelta(days=settings.keep_days)):
            plan.add(session, rows, why)
    if settings.keep_failed_days:
        why = f"evidence of a failed build, unused for {settings.keep_failed_days} days"
        promoted = exists().where(Build.artifact_id == Artifact.id, Build.state == BuildState.SUCCEEDED.value)
        for session, rows in _pages(farm, timedelta(days=settings.keep_failed_days), ~promoted):
            plan.add(session, [row for row in rows if row.serial not in plan.due], why)
    if settings.store_budget_bytes:
        _hold_budget(farm, plan, settings.store_budget_bytes)
    return plan


def _hold_budget(farm: Farm, plan: _Plan, budget: int) -> None:
    with farm.read() as session:
        over = artifact_bytes(session) - budget - sum(one.frees for one in plan.due.values())
    if over > 0:
        why = f"the least recently used; all artifacts together may take {budget} bytes"
        for session, rows in _pages(farm):
            over -= plan.add(session, [row for row in rows if row.serial not in plan.due], why, until=over)
            if over <= 0:
                break
    plan.over_budget = max(0, over)


def _pages(
    farm: Farm, unused: timedelta = timedelta(), *conditions: ColumnElement[bool]
) -> Iterator[tuple[Session, list[Artifact]]]:
    """What may go and was not used for so long, the least recently used first; each page with its session."""
    last: tuple[datetime, str] | None = None
    while True:
        with farm.read() as session:
            query = evictable(session, farm).where(Artifact.last_used < now(session) - unused, *conditions)
            if last is not None:
                later = (Artifact.last_used == last[0]) & (Artifact.serial > last[1])
                query = query.where((Artifact.last_used > last[0]) | later)
            query = query.options(load_only(Artifact.id, Artifact.serial, Artifact.last_used))  # and not the report
            rows = list(session.scalars(query.order_by(Artifact.last_used, Artifact.serial).limit(_BATCH)))
            yield session, rows
        if len(rows) < _BATCH:
            return
        assert rows[-1].last_used is not None  # the query compares it
        last = rows[-1].last_used, rows[-1].serial


def _consists(session: Session, serials: Sequence[str]) -> dict[str, list[tuple[str, int, int]]]:
    """By serial: SHA-256, size, and how many artifacts consist of it, for all of its bytes."""
    other = aliased(BlobUse)
    of_artifacts = (other.sha256 == BlobUse.sha256) & (other.kind == uses.ARTIFACT)
    owners = select(func.count()).select_from(other).where(of_artifacts).scalar_subquery()
    query = select(BlobUse.owner, BlobUse.sha256, Blob.size, owners).join(Blob, Blob.sha256 == BlobUse.sha256)
    found: dict[str, list[tuple[str, int, int]]] = {}
    for owner, sha256, size, count in session.execute(query.where(BlobUse.owner.in_(serials))):
        found.setdefault(owner, []).append((sha256, size, count))
    return found


def _evict(farm: Farm, batch: Sequence[_Due]) -> list[_Due]:
    """Give up the files of those that still may go: a build may have been answered, or a pin set, since they were read.

    Returns those that went.
    """
    due = {one.serial: one for one in batch}
    with farm.write() as session:
        rows = list(session.scalars(evictable(session, farm).where(Artifact.serial.in_(due))))
        for row in rows:
            why = due[row.serial].why
            row.evicted = now(session)
            uses.release(session, row.serial)
            seen_by = select(Build.project_id).where(Build.artifact_id == row.id).distinct()
            for project in session.scalars(seen_by).all():
                events.emit(session, "artifact.evicted", project=project, artifact=row.id, why=why)
            log.info("artifact.evicted", artifact=row.id, why=why)
    return [due[row.serial] for row in rows]
