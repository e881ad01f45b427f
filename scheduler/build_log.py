"""A build's log as people read it: around a line, at its end, what mentions a word, what sounds like trouble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from enginehouse.errors import NotFound
from enginehouse.states import ENDED, BuildState
from enginehouse.views import LogLine
from scheduler.registry.tables import Attempt, Build, LogRow
from scheduler.tokens import Principal

WINDOW = 1000
"""Lines that a page shows."""

BEFORE = 100
"""Of these, so many stand before the line that is asked for."""

TROUBLE = ("error:", "warning", "failed", "failure", "fatal", "exception", "traceback", "killed", "aborted")
"""Words that a line holds which somebody should look at."""

_CHUNK = 5000


@dataclass(frozen=True)
class Window:
    """Lines of one attempt, and what stands around them."""

    attempt: int
    lines: list[LogLine]
    total: int
    """the number of the attempt's last line so far"""
    following: bool
    """more lines may come"""
    narrowed: bool
    """only lines that were looked for"""
    more: bool
    """there are more of those that were looked for"""

    @property
    def first(self) -> int:
        """The number of the first line shown; 0 for none."""
        return self.lines[0].seq if self.lines else 0

    @property
    def last(self) -> int:
        """The number of the last line shown; 0 for none."""
        return self.lines[-1].seq if self.lines else 0


def window(
    session: Session,
    principal: Principal,
    build: str,
    *,
    attempt: int | None = None,
    line: int | None = None,
    text: str | None = None,
    trouble: bool = False,
) -> Window:
    """Lines of one attempt, by default of the newest: around ``line``, else the last ones.

    With ``text`` or ``trouble`` the lines that hold the text, or sound like trouble, from ``line`` on. NotFound for a
    build or an attempt that is not there.
    """
    row, number = _attempt(session, principal, build, attempt)
    mine = (LogRow.build_id == row.id) & (LogRow.attempt == number)
    total = session.scalar(select(func.max(LogRow.seq)).where(mine)) or 0
    looked_for = _looked_for(text, trouble)
    more = False
    if looked_for is None:
        first = max(1, total - WINDOW + 1) if line is None else max(1, min(line - BEFORE, total - WINDOW + 1))
        found = _lines(session, mine & (LogRow.seq >= first), WINDOW)
    else:
        found = _lines(session, mine & looked_for & (LogRow.seq >= (line or 1)), WINDOW + 1)
        more, found = len(found) > WINDOW, found[:WINDOW]
    over = number < row.attempt or BuildState(row.state) in ENDED
    return Window(number, found, total, not over, looked_for is not None, more)


def whole(session: Session, principal: Principal, build: str, attempt: int | None = None) -> Iterator[LogLine]:
    """Every line of one attempt, by default of the newest, read in pieces. The first piece is asked for when called."""
    row, number = _attempt(session, principal, build, attempt)
    mine = (LogRow.build_id == row.id) & (LogRow.attempt == number)

    def pieces() -> Iterator[LogLine]:
        last = 0
        while found := _lines(session, mine & (LogRow.seq > last), _CHUNK):
            yield from found
            last = found[-1].seq

    return pieces()


def last_words(session: Session, build: str, attempt: int, count: int = 12) -> list[LogLine]:
    """The last lines of an attempt; whether the build may be seen was asked before."""
    mine = (LogRow.build_id == build) & (LogRow.attempt == attempt)
    query = select(LogRow).where(mine).order_by(LogRow.seq.desc()).limit(count)
    return [_view(row) for row in reversed(session.scalars(query).all())]


def sounds_like_trouble(text: str) -> bool:
    """Whether somebody should look at a line."""
    lower = text.lower()
    return any(word in lower for word in TROUBLE)


def _looked_for(text: str | None, trouble: bool) -> ColumnElement[bool] | None:
    found: ColumnElement[bool] | None = None
    if text:
        found = LogRow.text.icontains(text, autoescape=True)
    if trouble:
        loud = or_(*(LogRow.text.icontains(word) for word in TROUBLE))
        found = loud if found is None else found & loud
    return found


def _lines(session: Session, where: ColumnElement[bool], limit: int) -> list[LogLine]:
    return [_view(row) for row in session.scalars(select(LogRow).where(where).order_by(LogRow.seq).limit(limit))]


def _view(row: LogRow) -> LogLine:
    return LogLine(seq=row.seq, attempt=row.attempt, time=row.time, text=row.text)


def _attempt(session: Session, principal: Principal, build: str, attempt: int | None) -> tuple[Build, int]:
    row = session.get(Build, build)
    if row is None or row.project_id != principal.project:
        raise NotFound(f"there is no build {build}", build=build)
    if attempt is not None and session.get(Attempt, (row.id, attempt)) is None:
        raise NotFound(f"build {build} has no attempt {attempt}", build=build, attempt=attempt)
    return row, attempt if attempt is not None else row.attempt
