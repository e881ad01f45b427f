"""The audit log."""

from __future__ import annotations

from datetime import date
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field

from api.auth import Scope
from api.routing import Call, Router
from api.v1.paging import PageQuery
from enginehouse.errors import Forbidden
from enginehouse.people import AuditView
from enginehouse.views import Page
from scheduler import audit

router = Router("audit")


Day = TypeVar("Day", bound=date)


def of_our_time(day: Day) -> Day:
    """One that every clock and database can hold in every zone. Raises ValueError."""
    if not 1970 <= day.year <= 9000:
        raise ValueError("the year lies between 1970 and 9000")
    return day


Moment = Annotated[AwareDatetime, AfterValidator(of_our_time)]


class AuditQuery(PageQuery):
    """Which lines."""

    who: str | None = Field(default=None, max_length=200, description="only what this person, token or loopback asked")
    action: str | None = Field(default=None, max_length=100, description="only this operation, such as jobs_cancel")
    since: Moment | None = Field(default=None, description="only lines from then on")
    until: Moment | None = Field(default=None, description="only lines from before then")
    everywhere: bool = Field(default=False, description="of every project, and the farm's own; needs 'operate'")


@router.route("GET", "/v1/audit", Scope.ADMIN, "Who asked for which change, newest first")
def list_(call: Call, query: AuditQuery) -> Page[AuditView]:
    """One page. Refused requests are in it too, with the code of the error."""
    return found(call, query)


def found(call: Call, query: AuditQuery) -> Page[AuditView]:
    """The page of lines that a query asks for."""
    if query.everywhere and not call.principal.may("operate"):
        raise Forbidden("the log of the whole farm needs the scope 'operate'", needs="operate")
    with call.farm.read() as session:
        return audit.list_(
            session,
            None if query.everywhere else call.principal.project,
            who=query.who,
            action=query.action,
            since=query.since,
            until=query.until,
            limit=query.limit,
            after=query.after,
        )
