"""Sessions: a browser in which a person is signed in. Kept as the SHA-256 of what the browser holds; they end by
themselves, when unused and in any case, and at once when the person ends them, is disabled, or has a new password.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from enginehouse.errors import NotFound, Unauthenticated
from enginehouse.people import Role, SessionView
from scheduler import audit, ids, members
from scheduler.farm import Farm
from scheduler.principal import PERSON, Principal
from scheduler.projects import by_name
from scheduler.registry.engine import now
from scheduler.registry.tables import Member, Person, Project, SignIn
from scheduler.settings import Settings

SEEN_EVERY = timedelta(minutes=1)


def begin(session: Session, settings: Settings, person: Person, peer: str, agent: str) -> str:
    """The person is signed in from now on. Returns what their browser is to hold; it is not kept."""
    secret = secrets.token_urlsafe(32)
    moment = now(session)
    first = members.projects_of(session, person.id)
    session.add(
        SignIn(
            id=ids.new("session"),
            person_id=person.id,
            project_id=first[0][0].id if first else None,
            sha256=_hash(secret),
            peer=peer[:64],
            agent=agent[:200],
            created=moment,
            seen=moment,
            expires=moment + timedelta(seconds=settings.session_s),
        )
    )
    person.last_seen = moment
    return secret


def find(session: Session, settings: Settings, secret: str) -> tuple[Principal, bool]:
    """Who is behind a session, as they may act now, and whether its use shall be noted. Raises Unauthenticated."""
    row = session.scalar(select(SignIn).where(SignIn.sha256 == _hash(secret)))
    moment = now(session)
    if row is None or row.expires <= moment or moment - row.seen >= timedelta(seconds=settings.session_idle_s):
        raise Unauthenticated("the session has ended", advice="Sign in again.")
    person = session.get_one(Person, row.person_id)
    if person.disabled is not None:
        raise Unauthenticated(f"{person.login} is not let in any more", advice="Ask the farm's operator.")
    return _principal(session, row, person), moment - row.seen >= SEEN_EVERY


def touch(farm: Farm, principal: Principal) -> None:
    """Note that the session is in use, to within a minute."""
    with farm.write(durable=False) as session:
        row = session.get(SignIn, principal.session)
        if row is not None:
            row.seen = now(session)


def list_(session: Session, principal: Principal, settings: Settings) -> list[SessionView]:
    """A person's own, the one that was used last first."""
    moment = now(session)
    live = (SignIn.expires > moment) & (SignIn.seen > moment - timedelta(seconds=settings.session_idle_s))
    query = select(SignIn, Project.name).outerjoin(Project, Project.id == SignIn.project_id)
    rows = session.execute(query.where(SignIn.person_id == principal.person, live).order_by(SignIn.seen.desc())).all()
    return [
        SessionView(
            id=row.id,
            current=row.id == principal.session,
            project=project,
            peer=row.peer,
            agent=row.agent,
            created=row.created,
            seen=row.seen,
            expires=row.expires,
        )
        for row, project in rows
    ]


def end(session: Session, principal: Principal, identifier: str) -> None:
    """One of a person's own is over."""
    row = session.get(SignIn, identifier)
    if row is None or row.person_id != principal.person:
        raise NotFound(f"there is no session {identifier}", session=identifier)
    session.delete(row)
    audit.concerns(f"session {identifier}")


def end_all(session: Session, person: str, but: str | None = None) -> None:
    """All of a person's are over, but for one."""
    query = delete(SignIn).where(SignIn.person_id == person)
    session.execute(query if but is None else query.where(SignIn.id != but))


def end_by_secret(session: Session, secret: str) -> None:
    """The one that this browser held is over, if there is one."""
    session.execute(delete(SignIn).where(SignIn.sha256 == _hash(secret)))


def switch(session: Session, principal: Principal, project: str) -> None:
    """The session is in another project from now on. Raises NotFound for one that the person is no member of."""
    row = session.get(SignIn, principal.session)
    assert row is not None  # it is how they ask
    wanted = session.scalar(select(Project).where(Project.name == project))
    member = session.get(Member, (wanted.id, row.person_id)) if wanted is not None else None
    if wanted is None or (member is None and not principal.may("operate")):
        raise NotFound(f"you are in no project {project}", project=project)
    row.project_id = by_name(session, project).id
    audit.concerns(f"project {project}", wanted.id)


def sweep(session: Session, settings: Settings) -> None:
    """Forget those that have ended by themselves."""
    moment: datetime = now(session)
    idle = moment - timedelta(seconds=settings.session_idle_s)
    session.execute(delete(SignIn).where((SignIn.expires <= moment) | (SignIn.seen <= idle)))


def _principal(session: Session, row: SignIn, person: Person) -> Principal:
    """With the role in the session's project; where they are no member of it any more, in their first one."""
    member = session.get(Member, (row.project_id, person.id)) if row.project_id else None
    project, role = row.project_id, Role(member.role) if member is not None else None
    if role is None and not (person.operator and project):
        theirs = members.projects_of(session, person.id)
        if theirs:
            project, role = theirs[0][0].id, theirs[0][1]
        elif person.operator:
            project = session.scalar(select(Project.id).order_by(Project.created, Project.id).limit(1))
        else:
            project = None
    scopes = {PERSON} | (role.scopes if role is not None else frozenset())
    if person.operator:
        scopes |= {"operate"}
    return Principal(None, project or "", frozenset(scopes), person.login, person.id, row.id)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
