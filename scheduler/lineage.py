"""What came of a model or a dataset: its jobs, and how their builds ended."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.states import BuildState
from enginehouse.views import DatasetView, JobView, Page
from scheduler import datasets, jobs
from scheduler.paging import page
from scheduler.registry.tables import Build, Dataset, Job
from scheduler.tokens import Principal


@dataclass(frozen=True)
class Tally:
    """How many builds, by how they did."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0

    @property
    def builds(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.cancelled + self.open


def tally_of_model(session: Session, principal: Principal, model: str) -> Tally:
    """The project's builds of a model."""
    query = (
        select(Build.state, func.count())
        .select_from(Job)
        .join(Build, Build.job_id == Job.id)
        .where(Job.model_id == model, Job.project_id == principal.project)
        .group_by(Build.state)
    )
    counts = {"succeeded": 0, "failed": 0, "cancelled": 0, "open": 0}
    ended = {BuildState.SUCCEEDED: "succeeded", BuildState.FAILED: "failed", BuildState.CANCELLED: "cancelled"}
    for state, count in session.execute(query):
        counts[ended.get(BuildState(state), "open")] += int(count)
    return Tally(**counts)


def jobs_with_dataset(
    session: Session, principal: Principal, sha256: str, limit: int = 50, after: str | None = None
) -> Page[JobView]:
    """The project's jobs that brought these samples along, newest first."""
    query = select(Job).where(Job.project_id == principal.project, Job.dataset_id == sha256)
    rows, following = page(session, query, Job.id, limit, after)
    return Page(items=[jobs.view(session, row) for row in rows], next=following)


def versions_of_dataset(session: Session, principal: Principal, name: str, limit: int = 50) -> list[DatasetView]:
    """The newest versions of a dataset, the newest first."""
    mine = (Dataset.project_id == principal.project) & (Dataset.name == name)
    numbers = session.scalars(select(Dataset.version).where(mine).order_by(Dataset.version.desc()).limit(limit))
    return [datasets.get(session, principal, f"{name}@{number}") for number in numbers]
