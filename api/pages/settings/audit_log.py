"""The audit log, with filters in the address."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from flask import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages.settings.drawing import drawn
from api.routing import Call, Router
from api.v1.audit import AuditQuery, found, of_our_time

router = Router("page_settings_audit", pages=True)

_PAGE = 100


class LogQuery(BaseModel):
    """Which lines. A form sends empty fields too."""

    model_config = ConfigDict(extra="forbid")

    who: str = Field(default="", max_length=200)
    action: str = Field(default="", max_length=100)
    since: Annotated[date, AfterValidator(of_our_time)] | Literal[""] = ""
    until: Annotated[date, AfterValidator(of_our_time)] | Literal[""] = ""
    everywhere: bool = False
    after: str | None = Field(default=None, max_length=200)


@router.route("GET", "/settings/audit", Scope.ADMIN, "The audit log", produces="text/html")
def show(call: Call, query: LogQuery) -> Response:
    """Newest first; the days are UTC's."""
    asked = AuditQuery(
        who=query.who or None,
        action=query.action or None,
        since=_midnight(query.since),
        until=_midnight(query.until, days=1),
        everywhere=query.everywhere,
        limit=_PAGE,
        after=query.after,
    )
    lines = found(call, asked)
    kept = {
        name: str(value).lower() if value is True else str(value)
        for name, value in query.model_dump(exclude={"after"}).items()
        if value
    }

    def address(after: str | None) -> str:
        return "/settings/audit?" + urlencode({**kept, **({"after": after} if after else {})})

    return drawn(
        call,
        "settings/audit.html",
        lines=lines.items,
        query=query,
        filtered=bool(kept),
        first=address(None) if query.after else None,
        following=address(lines.next) if lines.next else None,
        keep_days=call.farm.settings.keep_audit_days,
    )


def _midnight(day: date | Literal[""], days: int = 0) -> datetime | None:
    if not isinstance(day, date):
        return None
    return datetime.combine(day, time(), UTC) + timedelta(days=days)
