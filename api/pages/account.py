"""One's own account: password, sessions, own tokens, the current project."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.auth import Scope
from api.pages import page, see
from api.routing import Call, Router
from api.v1.me import who
from enginehouse.errors import EnginehouseError, RequestError
from scheduler import persons, sessions, tokens
from scheduler.registry.tables import Person

router = Router("page_account", pages=True)

TOKEN_SCOPES = ("read", "submit", "maintain", "admin", "operate")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PasswordForm(_Form):
    """One's own password, anew."""

    old: SecretStr = Field(default=SecretStr(""), max_length=1000)
    new: SecretStr = Field(default=SecretStr(""), max_length=1000)
    again: SecretStr = Field(default=SecretStr(""), max_length=1000)


class ProjectForm(_Form):
    """Another project."""

    project: str = Field(max_length=100)
    next: str = Field(default="/account", max_length=2000)


class SessionForm(_Form):
    """One session."""

    session: str = Field(max_length=40)


class TokenForm(_Form):
    """A token to make."""

    name: str = Field(default="", max_length=100)
    scopes: list[str] = Field(default=[], max_length=8)
    expires_days: int = Field(default=90, ge=1, le=3650)


class RevokeForm(_Form):
    """A token to revoke."""

    token: str = Field(max_length=40)


@router.route("GET", "/account", Scope.PERSON, "Your account", produces="text/html")
def show(call: Call) -> Response:
    """Projects, password, sessions, tokens."""
    return _drawn(call)


@router.route("POST", "/account/project", Scope.PERSON, "Be in another project", produces="text/html")
def switch(call: Call, form: ProjectForm) -> Response:
    """Then to the account, which says so."""
    try:
        with call.farm.write() as session:
            sessions.switch(session, call.principal, form.project)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/account")


@router.route("POST", "/account/password", Scope.PERSON, "Change your password", produces="text/html")
def change_password(call: Call, form: PasswordForm) -> Response:
    """Every other session ends."""
    call.door.limits.count(call.door.serve.sign_in_name_limit, "password", call.principal.person or "")
    old, new, again = (one.get_secret_value() for one in (form.old, form.new, form.again))
    try:
        if new != again:
            raise RequestError("the two new passwords differ", advice="Type the same one twice.", field="again")
        persons.change_own_password(call.farm, call.principal, old, new)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/account?done=password")


@router.route("POST", "/account/sessions/end", Scope.PERSON, "Sign out somewhere", produces="text/html")
def end(call: Call, form: SessionForm) -> Response:
    """It is over at once."""
    try:
        with call.farm.write() as session:
            sessions.end(session, call.principal, form.session)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/account")


@router.route("POST", "/account/sessions/end-all", Scope.PERSON, "Sign out everywhere", produces="text/html")
def end_all(call: Call) -> Response:
    """Here too."""
    with call.farm.write() as session:
        sessions.end_all(session, call.principal.person or "")
    response = see("/sign-in")
    call.door.gate.cookie.take(request, response)
    return response


@router.route("POST", "/account/tokens", Scope.PERSON, "Make a token of your own", produces="text/html")
def make_token(call: Call, form: TokenForm) -> Response:
    """Its secret is on the page that answers, and nowhere else."""
    try:
        if not form.name:
            raise RequestError("the token has no name", advice="Say what it is for.", field="name")
        with call.farm.write() as session:
            view, secret = tokens.create_own(session, call.principal, form.name, form.scopes, form.expires_days)
    except EnginehouseError as error:
        return _drawn(call, error)
    return _drawn(call, made=view, secret=secret)


@router.route("POST", "/account/tokens/revoke", Scope.PERSON, "Revoke a token of your own", produces="text/html")
def revoke_token(call: Call, form: RevokeForm) -> Response:
    """It is refused from now on."""
    try:
        with call.farm.write() as session:
            tokens.revoke_own(session, call.principal, form.token)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/account")


def _drawn(call: Call, error: EnginehouseError | None = None, **more: Any) -> Response:
    me = who(call)
    with call.farm.read() as session:
        person = session.get_one(Person, call.principal.person)
        values = {
            "me": me,
            "person": person,
            "has_password": person.password is not None,
            "sessions": sessions.list_(session, call.principal, call.farm.settings),
            "tokens": [one for one in tokens.list_own(session, call.principal) if one.revoked is None],
            "moment": datetime.now().astimezone(),
        }
    scopes = [scope for scope in TOKEN_SCOPES if call.principal.may(scope)]
    values["browser"] = browser
    given: dict[str, Any] = {"made": None, "secret": None, "done": request.args.get("done"), **more}
    status = error.status if error is not None else 200
    return page(call, "account/show.html", status, **values, **given, scopes=scopes, error=error)


_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrom", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux")


def browser(agent: str) -> str:
    """What a browser calls itself, in two words; the beginning of it where they are not known. Pure."""
    name = next((name for mark, name in _BROWSERS if mark in agent), None)
    system = next((system for system in _SYSTEMS if system in agent), None)
    if name is None:
        return agent[:40] or "unknown"
    return f"{name} on {system}" if system else name
