"""Builds: what is shown of them, their logs, and cancelling one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import Failure, NotFound
from enginehouse.gates import Gates
from enginehouse.request import Recipe
from enginehouse.states import ENDED, AttemptState, BuildState, Origin, Phase
from enginehouse.views import AttachmentView, AttemptView, BuildView, LogLine, LogPage
from scheduler import cache, ladder, ownership, transitions
from scheduler.farm import Farm
from scheduler.registry.tables import Artifact, Attempt, Build, Job, LogRow, Worker
from scheduler.tokens import Principal
from scheduler.waiting import Waiting

LOG_PAGE = 1000


def get(session: Session, principal: Principal, build: str, waiting: Waiting | None = None) -> BuildView:
    """One of the project's builds; with the line, also where in it the build stands."""
    return view(session, _row(session, principal, build), waiting)


def cancel(farm: Farm, principal: Principal, build: str) -> BuildView:
    """Cancel the build if it has not ended; where its ladder has gone on, the rung that decides in its place."""
    with farm.write() as session:
        row = _row(session, principal, build)
        ownership.check(principal, session.get_one(Job, row.job_id).submitted_by, f"build {build}")
        newest = ladder.newest_rung(session, row)
        transitions.cancel(session, newest)
        cache.settle_followers(session, newest)
        session.flush()
        return view(session, row)


def log(session: Session, principal: Principal, build: str, after: int = 0, attempt: int | None = None) -> LogPage:
    """Lines of one attempt (the newest one by default) with a greater ``seq``, up to 1,000."""
    row = _row(session, principal, build)
    number = attempt if attempt is not None else row.attempt
    mine = (LogRow.build_id == row.id) & (LogRow.attempt == number) & (LogRow.seq > after)
    rows = session.scalars(select(LogRow).where(mine).order_by(LogRow.seq).limit(LOG_PAGE)).all()
    over = number < row.attempt or BuildState(row.state) in ENDED
    return LogPage(
        attempt=number,
        lines=[LogLine(seq=line.seq, attempt=line.attempt, time=line.time, text=line.text) for line in rows],
        ended=over and len(rows) < LOG_PAGE,
    )


def attachment(
    session: Session, principal: Principal, build: str, name: str, attempt: int | None = None
) -> AttachmentView:
    """A file that a failed attempt (the newest one by default) left."""
    row = _row(session, principal, build)
    number = attempt if attempt is not None else row.attempt
    found = session.get(Attempt, (row.id, number))
    text = found.attachments.get(name) if found else None
    if text is None:
        raise NotFound(f"attempt {number} of build {build} has no attachment {name}", build=build, name=name)
    return AttachmentView(build=row.id, attempt=number, name=name, text=text)


def view(session: Session, row: Build, waiting: Waiting | None = None) -> BuildView:
    """What the API shows; with the line, also where in it the build stands."""
    reason, wait = waiting.told(row) if waiting else (row.reason, None)
    query = (
        select(Attempt, Worker.name)
        .outerjoin(Worker, Worker.id == Attempt.worker_id)
        .where(Attempt.build_id == row.id)
        .order_by(Attempt.number)
    )
    attempts = [
        AttemptView(
            number=attempt.number,
            state=AttemptState(attempt.state),
            worker=worker,
            created=attempt.created,
            started=attempt.started,
            ended=attempt.ended,
            failure=Failure.model_validate(attempt.failure) if attempt.failure else None,
            attachments=sorted(attempt.attachments),
        )
        for attempt, worker in session.execute(query)
    ]
    recipe = Recipe.model_validate(row.recipe)
    return BuildView(
        id=row.id,
        job=row.job_id,
        model=row.model_id,
        target=recipe.target,
        state=BuildState(row.state),
        phase=Phase(row.phase) if row.phase else None,
        reason=reason,
        wait=wait,
        origin=Origin(row.origin) if row.origin else None,
        artifact=row.artifact_id,
        artifact_evicted=_evicted(session, row),
        promoted=row.state == BuildState.SUCCEEDED,
        gates=Gates.model_validate(row.gates),
        baselines=recipe.against(),
        rung=row.rung,
        ladder_of=row.ladder_of,
        replaced_by=ladder.replaced_by(session, row) if row.state == BuildState.FAILED else None,
        note=row.note,
        failure=Failure.model_validate(row.failure) if row.failure else None,
        attempts=attempts,
        pool=row.pool,
        created=row.created,
        started=row.started,
        ended=row.ended,
    )


def _evicted(session: Session, row: Build) -> datetime | None:
    if row.artifact_id is None:
        return None
    return session.scalar(select(Artifact.evicted).where(Artifact.id == row.artifact_id))


def _row(session: Session, principal: Principal, build: str) -> Build:
    row = session.get(Build, build)
    if row is None or row.project_id != principal.project:
        raise NotFound(f"there is no build {build}", build=build)
    return row
