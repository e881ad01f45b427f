"""Projects: their share of the farm, and what they may use of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, FarmFull, Forbidden, NotFound, QuotaExceeded
from enginehouse.states import AttemptState
from enginehouse.views import ProjectChange, ProjectView
from scheduler import audit, ids
from scheduler.fairness import Share
from scheduler.principal import Principal
from scheduler.registry.engine import now
from scheduler.registry.tables import IN_LINE, Attempt, Build, Project
from scheduler.retention.usage import stored_bytes
from scheduler.settings import Settings

LIVE = (AttemptState.DISPATCHED.value, AttemptState.RUNNING.value)


def shares(session: Session, settings: Settings, wanted: Sequence[str]) -> tuple[list[Share], float]:
    """The shares of these projects, and the farm's clock."""
    running = _running(session)
    rows = session.scalars(select(Project).where(Project.id.in_(wanted)))
    found = [
        Share(row.id, row.weight, row.start, row.finish, running.get(row.id, 0), _most_running(row, settings))
        for row in rows
    ]
    return found, session.scalar(select(func.max(Project.start))) or 0.0


def served(session: Session, shares: Sequence[Share]) -> None:
    """Write down where the service of these projects has got to."""
    if shares:
        values = [{"id": share.project, "start": share.start, "finish": share.finish} for share in shares]
        session.execute(update(Project), values)


def full(session: Session, settings: Settings, project: str) -> str:
    """In words, that a project has as many builds under way as it may; empty where it has not."""
    most = _most_running(session.get_one(Project, project), settings)
    running = _running(session).get(project, 0)
    return f"the project has {running} builds under way and may have {most}" if most and running >= most else ""


def check_room(session: Session, settings: Settings, project: str, more: int) -> None:
    """Refuse builds that there is no room for in the line. Raises QuotaExceeded or FarmFull."""
    check_bytes(session, project, 0)  # a build keeps more
    row = session.get_one(Project, project)
    most = row.most_waiting if row.most_waiting is not None else settings.most_waiting
    mine = _waiting(session, project)
    if mine + more > most:
        raise QuotaExceeded(
            f"{mine} builds of the project wait, {more} more would come, and it may have {most}",
            waiting=mine, asked=more, most=most,
        )  # fmt: skip
    if settings.farm_most_waiting < mine + more or _waiting(session) + more > settings.farm_most_waiting:
        raise FarmFull(f"{settings.farm_most_waiting} builds may wait, and that is as many as do")


def check_bytes(session: Session, project: str, more: int) -> None:
    """Refuse bytes that a project has no room for; 0 asks whether it holds too many already. Raises QuotaExceeded."""
    most = session.get_one(Project, project).most_bytes
    if most is None:
        return
    stored = stored_bytes(session, project)
    if stored + more > most:
        raise QuotaExceeded(
            f"the project keeps {stored} bytes, {more} more would come, and it may have {most}",
            advice="Delete models and datasets, unpin artifacts, or ask the farm's operator for a larger quota.",
            stored=stored, asked=more, most=most,
        )  # fmt: skip


def list_(session: Session) -> list[ProjectView]:
    """Every project, by name."""
    running = _running(session)
    return [_view(session, row, running) for row in session.scalars(select(Project).order_by(Project.name))]


def get(session: Session, project: str) -> ProjectView:
    """One, by its name."""
    return _view(session, by_name(session, project), _running(session))


def create(session: Session, name: str, change: ProjectChange) -> ProjectView:
    """A new tenant. Raises Conflict where the name is taken."""
    if session.scalar(select(Project.id).where(Project.name == name)) is not None:
        raise Conflict(f"there is a project {name}", advice="Choose another name.", project=name)
    row = Project(id=ids.new("project"), name=name, created=now(session), **change.model_dump())
    session.add(row)
    session.flush()
    audit.concerns(f"project {name}", row.id)
    return _view(session, row, {})


def change(session: Session, project: str, change: ProjectChange) -> ProjectView:
    """Change its weight or quotas: those that are given."""
    row = by_name(session, project)
    for field in change.model_fields_set:
        setattr(row, field, getattr(change, field))
    audit.concerns(f"project {row.name}: {', '.join(sorted(change.model_fields_set))}", row.id)
    session.flush()
    return _view(session, row, _running(session))


def chosen(session: Session, principal: Principal, project: str | None) -> Project:
    """The caller's own project, or the one of that name. Raises NotFound, and Forbidden for who operates no farm."""
    mine = session.get(Project, principal.project)
    if project is None and mine is None:
        raise NotFound("you are a member of no project", advice="Ask an admin of a project to make you one.")
    if project is None or (mine is not None and mine.name == project):
        assert mine is not None
        return mine
    if not principal.may("operate"):
        raise Forbidden(f"the project {project} is another one; that needs the scope 'operate'", needs="operate")
    return by_name(session, project)


def by_name(session: Session, project: str) -> Project:
    """Raises NotFound."""
    row = session.scalar(select(Project).where(Project.name == project))
    if row is None:
        raise NotFound(f"there is no project {project}", project=project)
    return row


def _running(session: Session) -> dict[str, int]:
    counted = (
        select(Build.project_id, func.count())
        .join(Attempt, Attempt.build_id == Build.id)
        .where(Attempt.state.in_(LIVE))
        .group_by(Build.project_id)
    )
    return dict(session.execute(counted).all())


def _waiting(session: Session, project: str | None = None) -> int:
    query = select(func.count()).select_from(Build).where(text(IN_LINE))
    if project is not None:
        query = query.where(Build.project_id == project)
    return session.scalar(query) or 0


def _most_running(row: Project, settings: Settings) -> int | None:
    return row.most_running if row.most_running is not None else settings.most_running


def _view(session: Session, row: Project, running: dict[str, int]) -> ProjectView:
    return ProjectView(
        name=row.name,
        weight=row.weight,
        most_running=row.most_running,
        most_waiting=row.most_waiting,
        most_bytes=row.most_bytes,
        running=running.get(row.id, 0),
        waiting=_waiting(session, row.id),
        created=row.created,
    )
