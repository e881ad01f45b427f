"""The list of jobs for people: narrowed by what they look for, in a few statements whatever stands on the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from enginehouse.errors import Failure
from enginehouse.ladder import described
from enginehouse.request import Recipe
from enginehouse.states import BuildState, JobState, Phase, Priority
from enginehouse.views import Page
from scheduler.paging import page
from scheduler.registry.tables import Build, Job, Model
from scheduler.tokens import Principal

COUNTED = 1000
"""Jobs of a state are counted as far as this: nobody reads further, and counting all of them costs."""

_NAMED = 500
_ESCAPE = "\\"


@dataclass(frozen=True)
class Wanted:
    """What is looked for; what is not given is not looked at."""

    state: JobState | None = None
    text: str | None = None
    """in the job's name or its model's, or the first characters of an id"""
    model: str | None = None
    target: str | None = None
    """the short form without requirements, such as openvino:fp16"""
    pool: str | None = None
    priority: Priority | None = None


@dataclass(frozen=True)
class BuildRow:
    """A build in one word."""

    id: str
    target: str
    state: BuildState
    phase: Phase | None
    reason: str
    code: str
    replaced: bool
    """its ladder went on with another one"""


@dataclass(frozen=True)
class JobRow:
    """A job in one row."""

    id: str
    name: str
    model: str
    model_name: str
    state: JobState
    priority: Priority
    created: datetime
    ended: datetime | None
    builds: list[BuildRow] = field(default_factory=list)


def rows(
    session: Session,
    principal: Principal,
    wanted: Wanted,
    limit: int = 50,
    after: str | None = None,
    upto: str | None = None,
) -> Page[JobRow]:
    """The project's jobs that are looked for, newest first; ``upto``: none that came after this one."""
    query = _narrowed(session, principal, wanted)
    if upto is not None:
        query = query.where(Job.id <= upto)
    found, following = page(session, query, Job.id, limit, after)
    builds = _builds(session, [job.id for job in found])
    names = _model_names(session, principal, {job.model_id for job in found})
    items = [
        JobRow(
            id=job.id,
            name=job.name,
            model=job.model_id,
            model_name=names.get(job.model_id, ""),
            state=JobState(job.state),
            priority=Priority(job.priority),
            created=job.created,
            ended=job.ended,
            builds=builds[job.id],
        )
        for job in found
    ]
    return Page(items=items, next=following)


def newer(session: Session, principal: Principal, wanted: Wanted, than: str) -> int:
    """How many of those that are looked for came after a job; at most ``COUNTED``."""
    some = _narrowed(session, principal, wanted).where(Job.id > than).with_only_columns(Job.id).limit(COUNTED)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def counts(session: Session, principal: Principal) -> dict[JobState, int]:
    """The project's jobs by state, each counted to ``COUNTED`` at most."""
    found = {}
    for state in JobState:
        mine = select(Job.id).where(Job.project_id == principal.project, Job.state == state.value).limit(COUNTED)
        found[state] = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
    return found


def _narrowed(session: Session, principal: Principal, wanted: Wanted) -> Select[Job]:
    query = select(Job).where(Job.project_id == principal.project)
    if wanted.state is not None:
        query = query.where(Job.state == wanted.state.value)
    if wanted.priority is not None:
        query = query.where(Job.priority == wanted.priority.value)
    if wanted.model is not None:
        query = query.where(Job.model_id == wanted.model)
    if wanted.text is not None:
        query = query.where(_says(session, principal, wanted.text.strip()))
    if wanted.target is not None:
        asked = Build.demand.like(f"% {_literal(wanted.target)}%", escape=_ESCAPE)
        query = query.where(exists().where(Build.job_id == Job.id, asked))
    if wanted.pool is not None:
        query = query.where(exists().where(Build.job_id == Job.id, Build.pool == wanted.pool))
    return query


def _says(session: Session, principal: Principal, text: str) -> ColumnElement[bool]:
    """Models are few beside jobs: those that the text names are looked up first."""
    inside, first = f"%{_literal(text)}%", f"{_literal(text)}%"
    named = (
        select(Model.id)
        .where(
            Model.project_id == principal.project,
            or_(Model.name.ilike(inside, escape=_ESCAPE), Model.id.like(first, escape=_ESCAPE)),
        )
        .limit(_NAMED)
    )
    models = list(session.scalars(named))
    places = [Job.name.ilike(inside, escape=_ESCAPE), Job.id.like(first, escape=_ESCAPE)]
    return or_(*places, Job.model_id.in_(models)) if models else or_(*places)


def _literal(text: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text


def _builds(session: Session, jobs: Sequence[str]) -> dict[str, list[BuildRow]]:
    found: dict[str, list[BuildRow]] = defaultdict(list)
    if not jobs:
        return found
    query = select(Build).where(Build.job_id.in_(jobs)).order_by(Build.position, Build.rung)
    mine = session.scalars(query).all()
    went_on = {(row.ladder_of, row.rung - 1) for row in mine if row.ladder_of is not None}
    for row in mine:
        found[row.job_id].append(
            BuildRow(
                id=row.id,
                target=described(Recipe.model_validate(row.recipe).target),
                state=BuildState(row.state),
                phase=Phase(row.phase) if row.phase else None,
                reason=row.reason,
                code=Failure.model_validate(row.failure).code if row.failure else "",
                replaced=(row.ladder_of or row.id, row.rung) in went_on,
            )
        )
    return found


def _model_names(session: Session, principal: Principal, ids: set[str]) -> dict[str, str]:
    mine = select(Model.id, Model.name).where(Model.project_id == principal.project, Model.id.in_(ids))
    return dict(session.execute(mine).all()) if ids else {}
