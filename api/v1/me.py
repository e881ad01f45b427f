"""Who asks, and what is theirs alone: password, sessions, tokens, the current project."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from api.v1.tokens import NewToken
from enginehouse.errors import Conflict, NotFound, TooManyRequests
from enginehouse.people import CurrentProject, PasswordChange, Role, SessionView, WhoView
from enginehouse.views import Page, TokenView
from scheduler import members, persons, sessions, tokens
from scheduler.principal import PERSON, with_implied
from scheduler.registry.tables import Member, Project

router = Router("me")


class OwnTokenRequest(BaseModel):
    """A person's own token."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="for people")
    scopes: list[str] = Field(min_length=1, max_length=8, description="of those that you have in the project")
    expires_days: int = Field(ge=1, le=3650)


@router.route("GET", "/v1/me", Scope.READ, "Who asks, and what they may do")
def show(call: Call) -> WhoView:
    """With a token: the token's name, project and scopes."""
    return who(call)


def who(call: Call) -> WhoView:
    """Also for those who may nothing but this."""
    principal = call.principal
    with call.farm.read() as session:
        project = session.get(Project, principal.project)
        member = session.get(Member, (principal.project, principal.person)) if principal.person else None
        return WhoView(
            name=principal.name,
            kind=principal.kind,
            project=project.name if project is not None else None,
            role=Role(member.role) if member is not None else None,
            scopes=sorted(with_implied(principal.scopes) - {PERSON}),
            projects=members.memberships(session, principal.person) if principal.person else [],
        )


@router.route("PUT", "/v1/me/project", Scope.PERSON, "Be in another project", errors=(NotFound,))
def switch(call: Call, body: CurrentProject) -> None:
    """For this session; others of yours stay where they are."""
    with call.farm.write() as session:
        sessions.switch(session, call.principal, body.project)


@router.route("PUT", "/v1/me/password", Scope.PERSON, "Change your password", errors=(Conflict, TooManyRequests))
def change_password(call: Call, body: PasswordChange) -> None:
    """Your other sessions end."""
    call.door.limits.count(call.door.serve.sign_in_name_limit, "password", call.principal.person or "")
    old, new = body.old.get_secret_value(), body.new.get_secret_value()
    persons.change_own_password(call.farm, call.principal, old, new)


@router.route("GET", "/v1/me/sessions", Scope.PERSON, "Where you are signed in")
def list_sessions(call: Call) -> Page[SessionView]:
    """All of them; there is no further page."""
    with call.farm.read() as session:
        return Page[SessionView](items=sessions.list_(session, call.principal, call.farm.settings))


@router.route("DELETE", "/v1/me/sessions/<session>", Scope.PERSON, "Sign out somewhere")
def end_session(call: Call, session: str) -> None:
    """It is over at once."""
    with call.farm.write() as registry:
        sessions.end(registry, call.principal, session)


@router.route("DELETE", "/v1/me/sessions", Scope.PERSON, "Sign out everywhere")
def end_sessions(call: Call) -> None:
    """Here too."""
    with call.farm.write() as session:
        sessions.end_all(session, call.principal.person or "")


@router.route("GET", "/v1/me/tokens", Scope.PERSON, "Your own tokens, without their secrets")
def list_tokens(call: Call) -> Page[TokenView]:
    """Of all projects; there is no further page."""
    with call.farm.read() as session:
        return Page[TokenView](items=tokens.list_own(session, call.principal))


@router.route(
    "POST", "/v1/me/tokens", Scope.PERSON, "Make a token of your own; its secret is shown this once", status=201
)
def create_token(call: Call, body: OwnTokenRequest) -> NewToken:
    """For the project that you are in. It counts as you, and never allows more than your role."""
    with call.farm.write() as session:
        view, secret = tokens.create_own(session, call.principal, body.name, body.scopes, body.expires_days)
    return NewToken(**view.model_dump(), token=secret)


@router.route("DELETE", "/v1/me/tokens/<token>", Scope.PERSON, "Revoke a token of your own")
def revoke_token(call: Call, token: str) -> None:
    """It is refused from now on."""
    with call.farm.write() as session:
        tokens.revoke_own(session, call.principal, token)
