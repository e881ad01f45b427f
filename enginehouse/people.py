"""Persons, members and their roles, sessions, and the audit log: what the API shows of them and takes for them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


class Role(StrEnum):
    """What a member is in a project. Each may what the one before may."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    MAINTAINER = "maintainer"
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[str]:
        """What it stands for."""
        return _SCOPES[self]


_SCOPES = {
    Role.VIEWER: frozenset({"read"}),
    Role.SUBMITTER: frozenset({"read", "submit"}),
    Role.MAINTAINER: frozenset({"read", "submit", "maintain"}),
    Role.ADMIN: frozenset({"admin"}),
}

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200

Login = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}$",
        description="the name to sign in with; of persons of a provider, their mail address. Case does not matter",
    ),
    AfterValidator(str.lower),
]
Password = Annotated[
    SecretStr, Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD, description="kept as an argon2id hash")
]
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=1000)]
"""One to be checked: what was long enough once still signs in."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PersonRequest(_Body):
    """A person to enter. Without a password it is an invitation: the provider's sign-in with this address takes it."""

    login: Login
    name: str = Field(default="", max_length=100, description="for people")
    password: Password | None = None
    operator: bool = Field(default=False, description="whether they operate the farm")


class PersonChange(_Body):
    """What to change of a person; a field that is not given stays."""

    name: str | None = Field(default=None, max_length=100)
    password: Password | None = Field(default=None, description="ends all of their sessions")
    operator: bool | None = None
    disabled: bool | None = Field(default=None, description="whether they are refused; ends all of their sessions")


class PasswordChange(_Body):
    """One's own password, anew."""

    old: GivenPassword
    new: Password


class MemberRequest(_Body):
    """What a person shall be in a project."""

    role: Role


class CurrentProject(_Body):
    """The project that a session shall be in."""

    project: str = Field(min_length=1, max_length=100)


class Membership(BaseModel):
    """A project that a person is a member of."""

    project: str
    role: Role


class PersonView(BaseModel):
    """A person."""

    id: str
    login: str
    name: str
    operator: bool = Field(description="whether they operate the farm")
    kind: str = Field(description="'local' (a password), 'provider' (OpenID Connect) or 'invited' (neither yet)")
    projects: list[Membership]
    created: datetime
    disabled: datetime | None = Field(description="since when they are refused")
    last_seen: datetime | None = Field(description="when they signed in last")


class MemberView(BaseModel):
    """A person in a project."""

    login: str
    name: str
    role: Role
    operator: bool
    disabled: bool
    since: datetime


class SessionView(BaseModel):
    """A browser in which a person is signed in."""

    id: str
    current: bool = Field(description="whether it is the one that asks")
    project: str | None
    peer: str = Field(description="the address that signed in")
    agent: str = Field(description="what the browser called itself")
    created: datetime
    seen: datetime = Field(description="when it was used last, to within a minute")
    expires: datetime = Field(description="when it ends even if it is used")


class WhoView(BaseModel):
    """Who asks, and what they may do."""

    name: str
    kind: str = Field(description="'person', 'token' or 'loopback'")
    project: str | None = Field(description="the project that requests are for")
    role: Role | None = Field(description="of a person in that project")
    scopes: list[str] = Field(description="what is allowed, with all that it implies")
    projects: list[Membership] = Field(description="of a person: the projects to choose from")


class AuditView(BaseModel):
    """One line of the audit log."""

    id: int
    time: datetime
    who: str
    kind: str = Field(description="'person', 'token', 'loopback' or 'nobody' (a sign-in that failed)")
    action: str = Field(
        description="the operation's id in the API's description, or the page's", examples=["jobs_cancel"]
    )
    on: str = Field(description="what was acted on: an address, or what was made")
    project: str | None = Field(description="whose log it is in; null: the farm's own")
    outcome: str = Field(description="'done', or the code of the error with which it was refused")
    peer: str = Field(description="the address that it came from")
    request_id: str
