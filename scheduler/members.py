"""Members: who is what in a project."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, NotFound
from enginehouse.people import Membership, MemberView, Role
from enginehouse.views import Page
from scheduler import audit, projects
from scheduler.paging import LARGEST
from scheduler.principal import Principal
from scheduler.registry.engine import now
from scheduler.registry.tables import Member, Person, Project


def list_(
    session: Session, principal: Principal, project: str | None = None, limit: int = 50, after: str | None = None
) -> Page[MemberView]:
    """The members of the caller's project, by their names to sign in with; an operator may name another."""
    row = projects.chosen(session, principal, project)
    query = select(Member, Person).join(Person, Person.id == Member.person_id).where(Member.project_id == row.id)
    if after:
        query = query.where(Person.login > after)
    size = max(1, min(limit, LARGEST))
    rows = session.execute(query.order_by(Person.login).limit(size + 1)).all()
    views = [_view(member, person) for member, person in rows[:size]]
    return Page(items=views, next=views[-1].login if len(rows) > size else None)


def put(session: Session, principal: Principal, login: str, role: Role, project: str | None = None) -> MemberView:
    """A person is this in the project from now on. Raises NotFound, or Conflict where no admin would be left."""
    row = projects.chosen(session, principal, project)
    person = by_login(session, login)
    member = session.get(Member, (row.id, person.id))
    if member is None:
        member = Member(project_id=row.id, person_id=person.id, created=now(session))
        session.add(member)
    elif member.role == Role.ADMIN and role is not Role.ADMIN:
        _keep_an_admin(session, principal, row)
    member.role = role.value
    audit.concerns(f"member {person.login}: {role}", row.id)
    session.flush()
    return _view(member, person)


def remove(session: Session, principal: Principal, login: str, project: str | None = None) -> None:
    """A person is no member any more; their own tokens for the project are refused with it."""
    row = projects.chosen(session, principal, project)
    person = session.scalar(select(Person).where(Person.login == login.lower()))
    member = session.get(Member, (row.id, person.id)) if person is not None else None
    if person is None or member is None:
        raise NotFound(f"{login} is no member of {row.name}", login=login)
    if member.role == Role.ADMIN:
        _keep_an_admin(session, principal, row)
    session.delete(member)
    audit.concerns(f"member {person.login}", row.id)


def projects_of(session: Session, person: str) -> list[tuple[Project, Role]]:
    """The projects that a person is a member of, by name."""
    query = select(Project, Member.role).join(Member, Member.project_id == Project.id)
    rows = session.execute(query.where(Member.person_id == person).order_by(Project.name))
    return [(project, Role(role)) for project, role in rows]


def memberships(session: Session, person: str) -> list[Membership]:
    """The same, as it is shown."""
    return [Membership(project=project.name, role=role) for project, role in projects_of(session, person)]


def by_login(session: Session, login: str) -> Person:
    """Raises NotFound."""
    person = session.scalar(select(Person).where(Person.login == login.lower()))
    if person is None:
        raise NotFound(
            f"there is no person {login}",
            advice="The farm's operator enters persons ('enginehouse person create').",
            login=login,
        )
    return person


def _keep_an_admin(session: Session, principal: Principal, project: Project) -> None:
    """A project's last admin does not lock everybody out; who operates the farm may."""
    mine = (Member.project_id == project.id) & (Member.role == Role.ADMIN.value)
    if not principal.may("operate") and (session.scalar(select(func.count()).where(mine)) or 0) <= 1:
        raise Conflict(
            f"{project.name} would have no admin left",
            advice="Make another member an admin first.",
            project=project.name,
        )


def _view(member: Member, person: Person) -> MemberView:
    return MemberView(
        login=person.login,
        name=person.name,
        role=Role(member.role),
        operator=person.operator,
        disabled=person.disabled is not None,
        since=member.created,
    )
