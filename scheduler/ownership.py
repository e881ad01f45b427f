"""Who submitted a thing may change it; what others submitted, maintainers may.

What is kept with it is the id of a person or of a token, or nothing (the loopback, and what is older than persons).
A project's tokens are its machines: one that may submit may change what any of them submitted, and nothing of persons.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from enginehouse.errors import Forbidden
from scheduler import ids
from scheduler.principal import Principal
from scheduler.registry.tables import Person, Token


def submitter(principal: Principal) -> str | None:
    """What is kept with what this principal submits."""
    return principal.person or principal.token


def name_of(session: Session, submitted_by: str | None) -> str | None:
    """What people call who submitted a thing; None where it is not known."""
    if ids.is_of(submitted_by, "person"):
        person = session.get(Person, submitted_by)
        return person.login if person is not None else None
    token = session.get(Token, submitted_by) if submitted_by is not None else None
    return f"token {token.name}" if token is not None else None


def is_own(principal: Principal, submitted_by: str | None) -> bool:
    """Whether it counts as this principal's own. Pure."""
    if principal.person is not None:
        return submitted_by == principal.person
    return not ids.is_of(submitted_by, "person")


def check(principal: Principal, submitted_by: str | None, what: str) -> None:
    """Refuse a change of what others submitted, but to maintainers. Raises Forbidden."""
    if not principal.may("maintain") and not is_own(principal, submitted_by):
        raise Forbidden(
            f"{what} was submitted by somebody else; to change it needs the scope 'maintain'",
            advice="Ask whoever submitted it, or a maintainer of the project.",
            needs="maintain",
        )
