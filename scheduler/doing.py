"""What the workers do now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.request import Recipe
from enginehouse.states import AttemptState
from scheduler.registry.tables import Attempt, Build, Worker
from scheduler.tokens import Principal


@dataclass(frozen=True)
class Task:
    """One running attempt. Whose it is stays hidden from other projects: then there is no build, job or target."""

    since: datetime | None
    phase: str | None
    build: str | None = None
    job: str | None = None
    target: str | None = None


def of_workers(session: Session, principal: Principal) -> dict[str, list[Task]]:
    """Worker id to what runs under its lease, the oldest first."""
    query = (
        select(Worker.id, Attempt.started, Build)
        .select_from(Attempt)
        .join(Worker, Worker.id == Attempt.worker_id)
        .join(Build, Build.id == Attempt.build_id)
        .where(Attempt.state == AttemptState.RUNNING.value)
        .order_by(Attempt.started)
    )
    found: dict[str, list[Task]] = {}
    for worker, started, build in session.execute(query):
        task = Task(started, build.phase)
        if build.project_id == principal.project:
            target = str(Recipe.model_validate(build.recipe).target)
            task = Task(started, build.phase, build.id, build.job_id, target)
        found.setdefault(worker, []).append(task)
    return found
