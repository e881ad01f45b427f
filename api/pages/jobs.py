"""The list of jobs: what is looked for stands in the address, what is ticked is cancelled or built again at once."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qsl

from flask import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Scope
from api.bodies import read_page_query
from api.pages import live, page, see
from api.pages.navigation import link
from api.routing import Call, Router
from enginehouse.errors import Conflict, EnginehouseError
from enginehouse.request import Sha256
from enginehouse.states import JOB_ENDED, JobState, Priority
from scheduler import audit, job_rows, jobs, pools, retry
from scheduler.job_rows import Wanted

router = Router("page_jobs", pages=True)

_ROWS = 50
_CHOSEN = 200
"""Jobs that one form may name."""


class JobsQuery(BaseModel):
    """What is looked for, and which page of it."""

    model_config = ConfigDict(extra="forbid")

    state: JobState | None = Field(default=None, description="only jobs in this state")
    text: str | None = Field(default=None, max_length=200, description="in the name of the job or its model, or an id")
    model: Sha256 | None = Field(default=None, description="only jobs of this model")
    target: str | None = Field(default=None, max_length=60, description="only jobs that build for this target")
    pool: str | None = Field(default=None, max_length=100, description="only jobs of which this pool had a build")
    priority: Priority | None = Field(default=None, description="only jobs of this priority")
    after: str | None = Field(default=None, max_length=100, description="cursor of the page before")
    upto: str | None = Field(default=None, max_length=100, description="the newest job that is shown")

    def wanted(self) -> Wanted:
        """What is looked for, for the service."""
        return Wanted(self.state, self.text, self.model, self.target, self.pool, self.priority)

    def looked_for(self) -> dict[str, str]:
        """What is looked for, for addresses."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"after", "upto"})


class Several(BaseModel):
    """What to do with the jobs that are ticked."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["cancel", "retry"]
    job: list[str] = Field(default_factory=list, max_length=_CHOSEN)
    back: str = Field(default="", max_length=1000, description="the query of the list that it was ticked in")


class Refused(BaseModel):
    """A job that could not be served, and why."""

    job: str
    title: str
    detail: str


@router.route("GET", "/jobs", Scope.READ, "The project's jobs, newest first", produces="text/html")
def show(call: Call, query: JobsQuery) -> Response:
    """Rows keep their places while somebody reads: what is new is announced above them."""
    return _draw(call, query)


@router.route(
    "POST", "/jobs/actions", Scope.SUBMIT, "Cancel or retry the jobs that are ticked", produces="text/html", status=303
)
def several(call: Call, form: Several) -> Response:
    """Each by itself: what cannot be done is told, the rest is done."""
    refused: list[Refused] = []
    done = 0
    audit.concerns(f"{form.action}: {', '.join(dict.fromkeys(form.job))}")
    for job in dict.fromkeys(form.job):
        try:
            _do(call, form.action, job)
            done += 1
        except EnginehouseError as error:
            refused.append(Refused(job=job, title=error.title, detail=error.detail))
    query = read_page_query(JobsQuery, parse_qsl(form.back))
    if form.action == "retry" and done:
        query = query.model_copy(update={"upto": None, "after": None})
    if not refused:
        return see(link("/jobs", query.looked_for(), after=query.after, upto=query.upto))
    return _draw(call, query, refused=refused, done=done, action=form.action)


def _do(call: Call, action: str, job: str) -> None:
    if action == "retry":
        retry.retry_job(call.farm, call.principal, job, request=call.request_id)
        return
    with call.farm.read() as session:
        state = jobs.get(session, call.principal, job).state
    if state in JOB_ENDED:
        raise Conflict(f"job {job} is {state}; there is nothing to cancel", job=job, state=state)
    jobs.cancel(call.farm, call.principal, job)


def _draw(
    call: Call, query: JobsQuery, *, refused: list[Refused] | None = None, done: int = 0, action: str = ""
) -> Response:
    wanted = query.wanted()
    with call.farm.read() as session:
        events = live(session)
        found = job_rows.rows(session, call.principal, wanted, _ROWS, query.after, query.upto)
        first = query.upto or (found.items[0].id if found.items and not query.after else None)
        newer = job_rows.newer(session, call.principal, wanted, first) if first else 0
        counts = job_rows.counts(session, call.principal)
        targets, names = _choices(session)
    looked_for = query.looked_for()
    return page(
        call,
        "jobs/list.html",
        status=409 if refused else 200,
        jobs=found.items,
        looked_for=looked_for,
        here=link("/jobs", looked_for, after=query.after, upto=first),
        events=events,
        first=link("/jobs", looked_for) if query.after else None,
        following=link("/jobs", looked_for, after=found.next) if found.next else None,
        newer=newer,
        most=job_rows.COUNTED,
        counts=counts,
        any_job=any(counts.values()),
        targets=targets,
        pools=names,
        states=list(JobState),
        priorities=list(Priority),
        query=query,
        refused=refused or [],
        done=done,
        action=action,
    )


def _choices(session: Session) -> tuple[list[str], list[str]]:
    """Targets and pools that the farm has heard of."""
    known = pools.ever(session)
    targets = {
        f"{capability.backend}:{precision}"
        for pool in known
        for capability in pool.capabilities
        for precision in capability.precisions
    }
    return sorted(targets | {"auto"}), sorted(pool.name for pool in known)
