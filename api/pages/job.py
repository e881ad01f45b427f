"""One job: what became of it in words, its builds side by side, its timeline, and what can be done with it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Scope
from api.pages import live, page, see
from api.pages.drawing.lanes import timeline as drawn_timeline
from api.pages.drawing.pareto import pareto
from api.pages.summary import summary
from api.routing import Call, Router
from enginehouse.errors import ArtifactEvicted, EnginehouseError, NotFound
from enginehouse.ladder import described
from enginehouse.request import JobChanges
from enginehouse.states import JOB_ENDED, BuildState, Priority
from enginehouse.views import JobView
from scheduler import jobs, models, results, retry, timeline
from scheduler.retention import pins
from scheduler.waiting import Waiting

router = Router("page_job", pages=True)


class Elsewhere(BaseModel):
    """How something is built again."""

    model_config = ConfigDict(extra="forbid")

    elsewhere: bool = Field(default=False, description="not by the workers that had it, while others can")


class Another(BaseModel):
    """Another priority."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority


@router.route("GET", "/jobs/<job>", Scope.READ, "A job with its builds", produces="text/html")
def show(call: Call, job: str) -> Response:
    """It is drawn again when something changes, until the job has ended."""
    return _draw(call, job)


@router.route(
    "POST", "/jobs/<job>/cancel", Scope.SUBMIT, "Cancel a job", produces="text/html", status=303, others=Scope.MAINTAIN
)
def cancel(call: Call, job: str) -> Response:
    """What has ended stays as it is."""
    jobs.cancel(call.farm, call.principal, job)
    return see(f"/jobs/{job}")


@router.route(
    "POST",
    "/jobs/<job>/retry",
    Scope.SUBMIT,
    "Build again what failed",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
    counted=True,
)
def again(call: Call, job: str, form: Elsewhere) -> Response:
    """As a new job."""
    try:
        made, _ = retry.retry_job(call.farm, call.principal, job, elsewhere=form.elsewhere, request=call.request_id)
    except EnginehouseError as error:
        return _draw(call, job, error)
    return see(f"/jobs/{made.id}")


@router.route(
    "POST", "/jobs/<job>/clone", Scope.SUBMIT, "Submit a job again", produces="text/html", status=303, counted=True
)
def clone(call: Call, job: str) -> Response:
    """What was built before is answered at once."""
    try:
        made, _ = retry.clone(call.farm, call.principal, job, JobChanges(), request=call.request_id)
    except EnginehouseError as error:
        return _draw(call, job, error)
    return see(f"/jobs/{made.id}")


@router.route(
    "POST",
    "/jobs/<job>/pin",
    Scope.SUBMIT,
    "Keep what a job built",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
)
def pin(call: Call, job: str) -> Response:
    """Whatever its age and the space it takes; what was removed already is left out."""
    for artifact in _kept_by(call, job):
        with suppress(ArtifactEvicted):
            pins.pin(call.farm, call.principal, artifact, "")
    return see(f"/jobs/{job}")


@router.route(
    "POST",
    "/jobs/<job>/unpin",
    Scope.SUBMIT,
    "Keep what a job built no longer",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
)
def unpin(call: Call, job: str) -> Response:
    """Than others are kept."""
    for artifact in _kept_by(call, job):
        pins.unpin(call.farm, call.principal, artifact)
    return see(f"/jobs/{job}")


@router.route(
    "POST",
    "/jobs/<job>/priority",
    Scope.SUBMIT,
    "Change a priority",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
)
def priority(call: Call, job: str, form: Another) -> Response:
    """What runs is not disturbed."""
    try:
        retry.prioritise(call.farm, call.principal, job, form.priority)
    except EnginehouseError as error:
        return _draw(call, job, error)
    return see(f"/jobs/{job}")


def _kept_by(call: Call, job: str) -> list[str]:
    with call.farm.read() as session:
        found = jobs.get(session, call.principal, job)
    kept = sorted({build.artifact for build in found.builds if build.artifact})
    if not kept:
        raise NotFound(f"job {job} has no artifact", job=job)
    return kept


def _draw(call: Call, job: str, error: EnginehouseError | None = None) -> Response:
    if isinstance(error, NotFound):
        raise error
    with call.farm.read() as session:
        events = live(session, job)
        found = jobs.get(session, call.principal, job, Waiting(session, call.farm.settings))
        values = _values(session, call, found)
    return page(
        call,
        "jobs/job.html",
        status=error.status if error else 200,
        error=error,
        job=found,
        ended=found.state in JOB_ENDED,
        events=events,
        here=f"/jobs/{job}",
        priorities=list(Priority),
        **values,
    )


def _values(session: Session, call: Call, job: JobView) -> dict[str, Any]:
    of_builds = results.of(session, call.principal, {build.artifact for build in job.builds if build.artifact})
    pieces = timeline.of_job(session, job.id, job.builds)
    explored = [
        (build, result.exploration, pareto(result.exploration.candidates))
        for build in job.builds
        if build.artifact and (result := of_builds.get(build.artifact)) and result.exploration
    ]
    pinned = [result.pinned for result in of_builds.values()]
    rows = [(build.id, described(build.target), build.state.value, pieces[build.id]) for build in job.builds]
    return {
        "results": of_builds,
        "model_name": models.name_of(session, call.principal, job.model),
        "explored": explored,
        "kept": all(pinned) if pinned else None,
        "timeline": drawn_timeline(rows, datetime.now(UTC)),
        "summary": summary(job, of_builds),
        "described": described,
        "comparable": sum(build.artifact is not None for build in job.builds) > 1,
        "can_retry": any(
            build.state in (BuildState.FAILED, BuildState.CANCELLED) and build.replaced_by is None
            for build in job.builds
        ),
    }
