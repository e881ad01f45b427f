"""The registry's only writer of states. Checks the move, records it, tells of it, and keeps the job's state derived."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import AttemptsExhausted, Conflict, Failure, Fault
from enginehouse.ladder import described
from enginehouse.request import Recipe
from enginehouse.states import (
    ATTEMPT_MOVES,
    BUILD_MOVES,
    ENDED,
    JOB_ENDED,
    AttemptState,
    BuildState,
    JobState,
    Origin,
    Phase,
    job_state,
)
from scheduler import events, ladder, pools, quarantine
from scheduler.fairness import settled
from scheduler.farm import wake_after
from scheduler.registry.engine import now
from scheduler.registry.tables import Artifact, Attempt, Build, Job, Project, Worker

log = structlog.get_logger(__name__)

BACKOFF_S = (0.0, 1.0, 5.0, 30.0)
"""Seconds before the next attempt, by the number of those spent."""


def current_attempt(session: Session, build: Build) -> Attempt | None:
    """The build's newest attempt."""
    return session.get(Attempt, (build.id, build.attempt)) if build.attempt else None


def _move(session: Session, build: Build, to: BuildState, reason: str = "") -> None:
    came_from = BuildState(build.state)
    if (came_from, to) not in BUILD_MOVES:
        raise Conflict(f"build {build.id} is {came_from} and cannot become {to}", build=build.id, state=came_from)
    moment = now(session)
    build.state = to.value
    build.reason = reason
    if to in ENDED:
        build.ended = moment
        build.phase = None
        build.joined_to = None
    if to is BuildState.RUNNING and build.started is None:
        build.started = moment
    data: dict[str, Any] = {"state": to.value, "reason": reason}
    if build.failure and to is BuildState.FAILED:
        data["code"] = build.failure["code"]
    if build.origin and to is BuildState.SUCCEEDED:
        data["origin"] = build.origin
    events.emit(session, f"build.{to}", build=build, **data)
    log.info("build.moved", build=build.id, job=build.job_id, came_from=came_from.value, to=to.value, reason=reason)
    if to is BuildState.FAILED:
        _go_on(session, build)
    _derive_job(session, build.job_id)


def _go_on(session: Session, build: Build) -> None:
    """The next rung of its ladder, in the transaction that ends this one: the job never looks ended in between."""
    rung = ladder.go_on(session, build, Failure.model_validate(build.failure))
    if rung is None:
        return
    session.add(rung)
    session.flush()
    target = described(Recipe.model_validate(rung.recipe).target)
    said: dict[str, Any] = {"ladder_of": rung.ladder_of, "rung": rung.rung, "note": rung.note}
    events.emit(session, "build.created", build=rung, state=rung.state, target=target, **said)
    log.info("build.created", build=rung.id, job=rung.job_id, ladder_of=rung.ladder_of, rung=rung.rung)
    refused = quarantine.refusal(session, rung, pools.online(session))
    if refused is not None:
        failed(session, rung, refused)
        return
    explain(session, rung, "about to be dispatched")
    wake_after(session)


def _derive_job(session: Session, job_id: str) -> None:
    session.flush()
    job = session.get_one(Job, job_id)
    newest: dict[str, BuildState] = {}
    replaced = []
    query = select(Build.id, Build.ladder_of, Build.state).where(Build.job_id == job_id).order_by(Build.rung)
    for build, ladder_of, state in session.execute(query):
        began_with = ladder_of or build
        if began_with in newest:
            replaced.append(newest[began_with])
        newest[began_with] = BuildState(state)
    derived = job_state(newest.values(), replaced)
    if derived == job.state:
        return
    job.state = derived.value
    if derived in JOB_ENDED:
        job.ended = now(session)
    events.emit(session, f"job.{derived}", job=job, state=derived.value)
    log.info("job.moved", job=job.id, to=derived.value)


def _end_attempt(session: Session, build: Build, to: AttemptState, failure: Failure | None = None) -> None:
    attempt = current_attempt(session, build)
    if attempt is None:
        return
    came_from = AttemptState(attempt.state)
    if (came_from, to) not in ATTEMPT_MOVES:
        raise Conflict(f"attempt {attempt.number} of {build.id} is {came_from} and cannot become {to}", build=build.id)
    attempt.state = to.value
    attempt.ended = now(session)
    attempt.failure = failure.model_dump(mode="json") if failure else None
    cost = (attempt.ended - attempt.started).total_seconds() if attempt.started else 0.0
    project = session.get_one(Project, build.project_id)
    project.finish = settled(project.finish, project.weight, attempt.charged_s, cost)
    wake_after(session)  # a slot is free


def created(session: Session, job: Job, builds: list[Build], **more: Any) -> None:
    """A new job with its waiting builds. ``more``: what its event says beside that."""
    events.emit(session, "job.created", job=job, state=job.state, builds=[build.id for build in builds], **more)
    log.info("job.created", job=job.id, builds=len(builds), request=job.request_id, **more)
    wake_after(session)


def explain(session: Session, build: Build, reason: str) -> None:
    """Say why a waiting build waits; told only when the reason is a new one."""
    if build.reason != reason:
        build.reason = reason
        events.emit(session, "build.reason", build=build, reason=reason)


def dispatched(session: Session, build: Build, pool: str, cache_key: str, expires_s: float) -> Attempt:
    """The build is on its way to a pool, as its next attempt."""
    moment = now(session)
    build.attempt += 1
    build.pool = pool
    build.cache_key = cache_key
    attempt = Attempt(
        build_id=build.id,
        number=build.attempt,
        state=AttemptState.DISPATCHED.value,
        pool=pool,
        until=moment + timedelta(seconds=expires_s),
        created=moment,
        attachments={},
    )
    session.add(attempt)
    _move(session, build, BuildState.DISPATCHED, f"on its way to pool {pool}")
    return attempt


def claimed(session: Session, build: Build, attempt: Attempt, worker: Worker, lease_s: float) -> int:
    """A worker holds the attempt from now on. Returns the fencing number."""
    if (AttemptState(attempt.state), AttemptState.RUNNING) not in ATTEMPT_MOVES:
        raise Conflict(f"attempt {attempt.number} of {build.id} is {attempt.state}", build=build.id)
    moment = now(session)
    build.fence += 1
    build.tries += 1
    attempt.state = AttemptState.RUNNING.value
    attempt.worker_id = worker.id
    attempt.boot_id = worker.boot_id
    attempt.fence = build.fence
    attempt.started = moment
    attempt.until = moment + timedelta(seconds=lease_s)
    build.phase = Phase.FETCH.value
    _move(session, build, BuildState.RUNNING, f"on worker {worker.name}")
    return build.fence


def entered(session: Session, build: Build, phase: Phase) -> None:
    """The running build has entered a phase."""
    if build.state == BuildState.RUNNING and build.phase != phase:
        build.phase = phase.value
        events.emit(session, "build.phase", build=build, phase=phase.value)


def unclaimed(session: Session, build: Build, why: str = "nobody claimed it in time; it is sent again") -> None:
    """Nobody claimed the dispatch, or nobody shall: it waits again, and no attempt is spent."""
    _end_attempt(session, build, AttemptState.EXPIRED)
    _move(session, build, BuildState.WAITING, why)


def succeeded(session: Session, build: Build, artifact: Artifact, origin: Origin) -> None:
    """The build has its artifact."""
    build.artifact_id = artifact.id
    build.cache_key = artifact.cache_key
    build.origin = origin.value
    build.failure = None
    if origin is Origin.BUILT:
        _end_attempt(session, build, AttemptState.SUCCEEDED)
    _move(session, build, BuildState.SUCCEEDED)


def failed(session: Session, build: Build, failure: Failure, *, evidence: Artifact | None = None) -> None:
    """The build has ended without a promoted artifact; what was built is kept as evidence."""
    if build.state == BuildState.RUNNING:
        _end_attempt(session, build, AttemptState.FAILED, failure)
    build.failure = failure.model_dump(mode="json")
    build.artifact_id = evidence.id if evidence else None
    _move(session, build, BuildState.FAILED, failure.detail)


def setback(session: Session, build: Build, failure: Failure, max_attempts: int, *, lost: bool = False) -> None:
    """An attempt ended badly: the build waits for the next one, elsewhere where it can, or has had its last.

    What takes a worker or its process down every time goes into quarantine.
    """
    attempt = current_attempt(session, build)
    _end_attempt(session, build, AttemptState.LOST if lost else AttemptState.FAILED, failure)
    if build.state == BuildState.CANCELLING:
        _move(session, build, BuildState.CANCELLED, "cancelled")
        return
    if not failure.retried or build.tries >= max_attempts:
        final = failure
        if failure.code in quarantine.POISON:
            quarantine.enter(session, build)
        if failure.fault is Fault.FARM:
            final = AttemptsExhausted(
                f"{build.tries} attempts failed; the last: {failure.detail}", last=failure.code
            ).failure()
        build.failure = final.model_dump(mode="json")
        _move(session, build, BuildState.FAILED, final.detail)
        return
    if attempt is not None and attempt.worker_id is not None and attempt.worker_id not in build.avoid:
        build.avoid = [*build.avoid, attempt.worker_id]
    spent = build.tries - 1 if lost else build.tries  # to notice that a worker was lost has taken its time already
    wait = BACKOFF_S[max(0, min(spent, len(BACKOFF_S) - 1))]
    build.not_before = now(session) + timedelta(seconds=wait)
    build.phase = None
    _move(session, build, BuildState.WAITING, f"attempt {build.attempt} failed ({failure.code}); it is tried again")


def released(session: Session, build: Build) -> None:
    """The worker shut down and gave the attempt back: none is spent."""
    _end_attempt(session, build, AttemptState.LOST)
    build.tries -= 1
    build.phase = None
    if build.state == BuildState.CANCELLING:
        _move(session, build, BuildState.CANCELLED, "cancelled")
    else:
        _move(session, build, BuildState.WAITING, "its worker shut down; it is sent again")


def cancel(session: Session, build: Build) -> None:
    """Somebody does not want it any more. A running attempt is stopped by its worker first."""
    state = BuildState(build.state)
    if state in ENDED or state is BuildState.CANCELLING:
        return
    if state is BuildState.RUNNING:
        _move(session, build, BuildState.CANCELLING, "its worker is stopping it")
        return
    if state is BuildState.DISPATCHED:
        _end_attempt(session, build, AttemptState.CANCELLED)
    _move(session, build, BuildState.CANCELLED, "cancelled")


def cancelled(session: Session, build: Build) -> None:
    """The worker has stopped the attempt."""
    _end_attempt(session, build, AttemptState.CANCELLED)
    if build.state == BuildState.RUNNING:  # the worker stopped it although nobody had asked
        _move(session, build, BuildState.CANCELLING)
    _move(session, build, BuildState.CANCELLED, "cancelled")


def worker_state(session: Session, worker: Worker, state: str) -> None:
    """A worker came ('online'), vanished ('lost') or left ('gone')."""
    if worker.state != state:
        worker.state = state
        events.emit(session, f"worker.{state}", worker=worker.name, pool=worker.pool)
        log.info("worker.moved", worker=worker.name, to=state)
        wake_after(session)


def told_of_worker(session: Session, worker: Worker, kind: str) -> None:
    """Something about a worker that is no state of it."""
    events.emit(session, kind, worker=worker.name, pool=worker.pool)
    log.info(kind, worker=worker.name)


def initial_job_state() -> str:
    """A job begins with builds that wait."""
    return JobState.WAITING.value
