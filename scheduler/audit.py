"""The audit log: who asked for which change, when, from where, and what became of it.

A line is written in the transaction of the change itself, so that there is no change without its line; where
nothing was changed (it was refused, or was so already) it is written by itself. It is appended to and never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import EnginehouseError, RequestError
from enginehouse.people import AuditView
from enginehouse.views import Page
from scheduler.paging import LARGEST
from scheduler.principal import Principal
from scheduler.registry.engine import now
from scheduler.registry.tables import AuditRow, Project

if TYPE_CHECKING:
    from scheduler.farm import Farm

DONE = "done"
NOBODY = "nobody"


@dataclass
class Entry:
    """A line to be. What is done, and on what, may be said more exactly while it is done."""

    who: str
    kind: str
    who_id: str | None
    project: str | None
    action: str
    target: str
    peer: str
    request_id: str
    refused: EnginehouseError | None = None
    _written: bool = field(default=False, repr=False)

    def row(self, moment: datetime, outcome: str) -> AuditRow:
        """The line."""
        self._written = True
        return AuditRow(
            time=moment,
            project_id=self.project or None,
            who=self.who[:200],
            kind=self.kind,
            who_id=self.who_id,
            action=self.action[:100],
            target=self.target[:300],
            outcome=outcome,
            peer=self.peer[:64],
            request_id=self.request_id[:100],
        )


_entry: ContextVar[Entry | None] = ContextVar("audit_entry", default=None)


def entry_of(principal: Principal | None, action: str, target: str, peer: str, request_id: str) -> Entry:
    """A line for what this principal asks."""
    if principal is None:
        return Entry(NOBODY, NOBODY, None, None, action, target, peer, request_id)
    who_id = principal.person or principal.token
    return Entry(principal.name, principal.kind, who_id, principal.project, action, target, peer, request_id)


@contextmanager
def recording(farm: Farm, entry: Entry, *, always: bool = True) -> Iterator[None]:
    """What is done inside of it is one line; one more where it failed after something was changed.

    ``always``: also where nothing was changed.
    """
    token = _entry.set(entry)
    try:
        yield
    except EnginehouseError as error:
        _entry.reset(token)
        if always and error.status < 500 and error.status != 429:
            _write(farm, entry, error.code)
        raise
    except BaseException:
        _entry.reset(token)
        raise
    else:
        _entry.reset(token)
        if entry.refused is not None:
            _write(farm, entry, entry.refused.code)
        elif always and not entry._written:
            _write(farm, entry, "")


def add_to(session: Session) -> None:
    """Write the line that is due, if one is, into the transaction of its change."""
    entry = _entry.get()
    if entry is not None and not entry._written:
        session.add(entry.row(now(session), ""))


def concerns(target: str, project: str | None = None) -> None:
    """Say on what it is done; and in whose log it belongs, where that is not the caller's own project."""
    entry = _entry.get()
    if entry is not None:
        entry.target = target
        entry.project = project or entry.project


def refused(error: EnginehouseError) -> None:
    """Say that it was refused, where the error is not raised but drawn beside the form that asked."""
    entry = _entry.get()
    if entry is not None:
        entry.refused = error


def is_by(who: str, who_id: str | None, project: str | None) -> None:
    """Say who it is, once that is known: a sign-in begins as nobody's."""
    entry = _entry.get()
    if entry is not None:
        entry.who, entry.kind, entry.who_id, entry.project = who, "person" if who_id else NOBODY, who_id, project


def list_(
    session: Session,
    project: str | None,
    *,
    who: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[AuditView]:
    """Lines, newest first: a project's, or with None the whole farm's."""
    query = select(AuditRow, Project.name).outerjoin(Project, Project.id == AuditRow.project_id)
    if project is not None:
        query = query.where(AuditRow.project_id == project)
    if who is not None:
        query = query.where(AuditRow.who == who)
    if action is not None:
        query = query.where(AuditRow.action == action)
    if since is not None:
        query = query.where(AuditRow.time >= since)
    if until is not None:
        query = query.where(AuditRow.time < until)
    if after:
        query = query.where(AuditRow.id < _cursor(after))
    size = max(1, min(limit, LARGEST))
    rows = session.execute(query.order_by(AuditRow.id.desc()).limit(size + 1)).all()
    views = [_view(row, name) for row, name in rows[:size]]
    return Page(items=views, next=str(views[-1].id) if len(rows) > size else None)


def _cursor(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise RequestError("'after' is not the 'next' of a page", field="after")
    return int(text)


def _write(farm: Farm, entry: Entry, outcome: str) -> None:
    with farm.write(durable=False) as session:
        session.add(entry.row(now(session), outcome))


def _view(row: AuditRow, project: str | None) -> AuditView:
    return AuditView(
        id=row.id,
        time=row.time,
        who=row.who,
        kind=row.kind,
        action=row.action,
        on=row.target,
        project=project,
        outcome=row.outcome or DONE,
        peer=row.peer,
        request_id=row.request_id,
    )
