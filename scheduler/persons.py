"""Persons: who signs in, with a password or through an identity provider. ``python -m scheduler.persons`` helps who is
locked out.
"""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import (
    Conflict,
    EnginehouseError,
    Forbidden,
    NotFound,
    RequestError,
    SignInFailed,
    SignInRefused,
)
from enginehouse.people import LONGEST_PASSWORD, SHORTEST_PASSWORD, PersonChange, PersonRequest, PersonView, Role
from enginehouse.views import Page
from scheduler import audit, ids, members, passwords, sessions
from scheduler.farm import Farm
from scheduler.paging import page
from scheduler.principal import Principal
from scheduler.registry.engine import now
from scheduler.registry.tables import Member, Person
from scheduler.settings import Settings
from scheduler.tokens import DEFAULT_PROJECT

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}")

ADMIN = "admin"
"""The login of the person whom the settings make."""


@dataclass(frozen=True)
class Identity:
    """What an identity provider says of somebody. ``mail`` is one that it has verified."""

    issuer: str
    subject: str
    mail: str | None = None
    name: str = ""
    groups: frozenset[str] = field(default_factory=frozenset)


def list_(session: Session, limit: int = 50, after: str | None = None) -> Page[PersonView]:
    """All of them, the newest first."""
    rows, following = page(session, select(Person), Person.id, limit, after)
    return Page(items=[view(session, row) for row in rows], next=following)


def get(session: Session, login: str) -> PersonView:
    """One, by the name that they sign in with."""
    return view(session, members.by_login(session, login))


def create(farm: Farm, request: PersonRequest) -> PersonView:
    """Enter a person. Raises Conflict where the login is taken."""
    kept = passwords.hashed(checked(request.login, request.password.get_secret_value())) if request.password else None
    with farm.write() as session:
        _free(session, request.login)
        row = _add(session, request.login, request.name, password=kept, operator=request.operator)
        audit.concerns(f"person {row.login}")
        return view(session, row)


def change(farm: Farm, principal: Principal, login: str, change: PersonChange) -> PersonView:
    """Change what is given. Whoever gets a new password or is disabled is signed out everywhere."""
    given = {name: getattr(change, name) for name in change.model_fields_set if getattr(change, name) is not None}
    password = given.pop("password", None)
    kept = passwords.hashed(checked(login, password.get_secret_value())) if password else None
    with farm.write() as session:
        row = members.by_login(session, login)
        if row.id == principal.person and (given.get("operator") is False or given.get("disabled")):
            raise Conflict("you cannot lock yourself out", advice="Another operator can.", login=row.login)
        if kept is not None and row.issuer is not None:
            raise Conflict(f"{row.login} signs in through {row.issuer}", advice="Change the password there.")
        audit.concerns(f"person {row.login}: {', '.join(sorted([*given, *(['password'] if kept else [])]))}")
        row.name = given.get("name", row.name)
        row.operator = given.get("operator", row.operator)
        if "disabled" in given:
            row.disabled = (row.disabled or now(session)) if given["disabled"] else None
        if kept is not None:
            row.password = kept
        if kept is not None or row.disabled is not None:
            sessions.end_all(session, row.id)
        return view(session, row)


def change_own_password(farm: Farm, principal: Principal, old: str, new: str) -> None:
    """A person's own password, anew; every other session of theirs ends."""
    with farm.read() as session:
        row = session.get_one(Person, principal.person)
    if row.password is None:
        raise Conflict("you sign in without a password of this farm", advice="Change it with your provider.")
    if not passwords.fits(row.password, old):
        raise Forbidden("the old password is wrong", advice="Try again, or ask the farm's operator for a new one.")
    kept = passwords.hashed(checked(row.login, new))
    with farm.write() as session:
        session.get_one(Person, row.id).password = kept
        sessions.end_all(session, row.id, but=principal.session)
        audit.concerns(f"person {row.login}: password")


def sign_in(farm: Farm, login: str, password: str, peer: str, agent: str, before: str | None = None) -> str:
    """Sign a person in by their password. Returns what the browser is to hold.

    ``before``: what it held, which ends. Raises SignInFailed, which does not say what of it was wrong.
    """
    with farm.read() as session:
        row = session.scalar(select(Person).where(Person.login == login.lower()))
    if row is not None:
        audit.is_by(row.login, None, None)  # a name that nobody has may be a password in the wrong field
    if not passwords.fits(row.password if row is not None else None, password) or row is None:
        raise SignInFailed()
    if row.disabled is not None:
        raise SignInFailed(f"{row.login} is not let in any more", advice="Ask the farm's operator.")
    assert row.password is not None
    anew = passwords.hashed(password) if passwords.is_outdated(row.password) else row.password
    with farm.write() as session:
        person = session.get_one(Person, row.id)
        if person.password == row.password:
            person.password = anew
        return _begin(session, farm.settings, person, peer, agent, before)


def sign_in_from_provider(farm: Farm, who: Identity, peer: str, agent: str, before: str | None = None) -> str:
    """Sign in whom a provider has identified; at the first time they are entered where the settings let them in.

    Returns what the browser is to hold. Raises SignInRefused.
    """
    with farm.write() as session:
        person = session.scalar(select(Person).where(Person.issuer == who.issuer, Person.subject == who.subject))
        if person is None:
            person = _first_time(session, farm.settings, who)
        audit.is_by(person.login, None, None)
        if person.disabled is not None:
            raise SignInRefused(f"{person.login} is not let in any more", advice="Ask the farm's operator.")
        return _begin(session, farm.settings, person, peer, agent, before)


def let_in(settings: Settings, who: Identity) -> bool:
    """Whether the settings let somebody in whom nobody has invited. Pure."""
    domain = who.mail.rpartition("@")[2].lower() if who.mail else ""
    return (domain != "" and domain in settings.oidc_domain_set) or bool(who.groups & settings.oidc_group_set)


def bootstrap(farm: Farm) -> None:
    """The first person, an operator and admin of the default project; one that is there already stays as they are."""
    password = farm.settings.admin_password
    if password is None:
        return
    with farm.read() as session:
        if session.scalar(select(Person.id).where(Person.login == ADMIN)) is not None:
            return
    kept = passwords.hashed(password.get_secret_value())
    with farm.write() as session:
        if session.scalar(select(Person.id).where(Person.login == ADMIN)) is None:  # another process may be as early
            row = _add(session, ADMIN, "", password=kept, operator=True)
            session.add(
                Member(project_id=DEFAULT_PROJECT, person_id=row.id, role=Role.ADMIN.value, created=row.created)
            )


def checked(login: str, password: str) -> str:
    """The password, if it may be one. Raises RequestError."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise RequestError(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters",
            advice="A few words are easy to keep in mind and hard to guess.",
            field="password",
        )
    if login.lower() in password.lower() or len(set(password)) < 4:
        raise RequestError("the password is too easy to guess", advice="Leave your name out of it.", field="password")
    return password


def view(session: Session, row: Person) -> PersonView:
    """What the API shows."""
    return PersonView(
        id=row.id,
        login=row.login,
        name=row.name,
        operator=row.operator,
        kind="provider" if row.issuer else "local" if row.password else "invited",
        projects=members.memberships(session, row.id),
        created=row.created,
        disabled=row.disabled,
        last_seen=row.last_seen,
    )


def _begin(session: Session, settings: Settings, person: Person, peer: str, agent: str, before: str | None) -> str:
    if before is not None:
        sessions.end_by_secret(session, before)
    secret = sessions.begin(session, settings, person, peer, agent)
    theirs = members.projects_of(session, person.id)
    audit.is_by(person.login, person.id, theirs[0][0].id if theirs else None)
    audit.concerns(f"person {person.login}")
    return secret


def _first_time(session: Session, settings: Settings, who: Identity) -> Person:
    """Take an invitation, or enter a new person where the settings say so."""
    named = session.scalar(select(Person).where(Person.login == who.mail.lower())) if who.mail else None
    if named is not None:
        if named.password is not None or named.issuer is not None:
            raise SignInRefused(f"there is another person {named.login}, who signs in otherwise")
        named.issuer, named.subject = who.issuer, who.subject
        named.name = named.name or who.name[:100]
        return named
    if not let_in(settings, who):
        raise SignInRefused("nobody has invited you, and you are in none of the domains and groups that are let in")
    if who.mail is None or not _LOGIN.fullmatch(who.mail):
        raise SignInRefused(
            "the provider names no verified mail address of yours that can be a name here",
            advice="Have your address verified there ('email' and 'email_verified' in the token), then try again.",
        )
    row = _add(session, who.mail.lower(), who.name[:100], issuer=who.issuer, subject=who.subject)
    if settings.oidc_project:
        project = _project(session, settings.oidc_project)
        session.add(Member(project_id=project, person_id=row.id, role=settings.oidc_role, created=row.created))
    session.flush()
    return row


def _project(session: Session, name: str) -> str:
    from scheduler.projects import by_name

    try:
        return by_name(session, name).id
    except NotFound as error:
        raise SignInRefused(
            f"the project {name}, which new persons come into, does not exist",
            advice="The farm's operator makes it, or changes ENGINEHOUSE_OIDC_PROJECT.",
        ) from error


def _free(session: Session, login: str) -> None:
    if session.scalar(select(Person.id).where(Person.login == login)) is not None:
        raise Conflict(f"there is a person {login}", advice="Choose another name, or change that one.", login=login)


def _add(
    session: Session,
    login: str,
    name: str,
    *,
    password: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
    operator: bool = False,
) -> Person:
    row = Person(
        id=ids.new("person"),
        login=login,
        name=name,
        password=password,
        issuer=issuer,
        subject=subject,
        operator=operator,
        created=now(session),
    )
    session.add(row)
    session.flush()
    return row


def set_password(farm: Farm, login: str, password: str) -> None:
    """From the farm's own machine: a new password, and every session ends. An operator 'admin' is made if missing."""
    kept = passwords.hashed(checked(login, password))
    with farm.write() as session:
        row = session.scalar(select(Person).where(Person.login == login.lower()))
        if row is None and login.lower() == ADMIN:
            row = _add(session, ADMIN, "", operator=True)
            session.add(
                Member(project_id=DEFAULT_PROJECT, person_id=row.id, role=Role.ADMIN.value, created=row.created)
            )
        if row is None:
            row = members.by_login(session, login)
        row.password, row.issuer, row.subject, row.disabled = kept, None, None, None
        sessions.end_all(session, row.id)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m scheduler.persons``."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.persons", description="The farm's persons.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("set-password", help="give a person a new password, which is read from standard input")
    made.add_argument("login", help="'admin' is made, as an operator, where there is nobody of that name")
    given = parser.parse_args(arguments)
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    farm = Farm(Settings())
    try:
        set_password(farm, given.login, password)
    except EnginehouseError as error:
        sys.stderr.write(f"{error.detail}. {error.hint}\n")
        return 1
    finally:
        farm.dispose()
    sys.stdout.write(f"{given.login} has a new password, and is signed in nowhere\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
