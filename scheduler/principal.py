"""Who asks: a project, and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SCOPES = ("read", "submit", "maintain", "admin", "operate", "work")
"""What a token may be given."""

PERSON = "person"
"""What somebody who is signed in may do for themselves. No token has it."""

IMPLIED: dict[str, frozenset[str]] = {
    "maintain": frozenset({"read", "submit"}),
    "admin": frozenset({"read", "submit", "maintain"}),
    "operate": frozenset({"read", "submit", "maintain", "admin"}),
}
"""'maintain' is of what others submitted in the project, 'admin' of the project, 'operate' of the farm. 'work' stands
alone, both ways."""


def with_implied(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with all that they imply. Pure."""
    given = frozenset(scopes)
    return given.union(*(IMPLIED.get(scope, ()) for scope in given))


@dataclass(frozen=True)
class Principal:
    """Who asks. ``project`` is empty for a person who is a member of none."""

    token: str | None
    project: str
    scopes: frozenset[str]
    name: str
    person: str | None = None
    session: str | None = None
    """The session through which a person asks; a token of their own has none."""

    def may(self, scope: str) -> bool:
        """Whether this principal has the scope."""
        return scope in self.scopes or scope in with_implied(self.scopes)

    @property
    def kind(self) -> str:
        """'person', 'token' or 'loopback'."""
        if self.session is not None:
            return "person"
        return "token" if self.token is not None else "loopback"
