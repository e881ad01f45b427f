"""Signing in and out."""

from __future__ import annotations

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.auth import Scope
from api.oidc import BACK, Provider, safe_next
from api.pages import page, see
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError, Forbidden, NotFound, ProviderFailed, SignInFailed, SignInRefused
from scheduler import audit, persons, sessions

router = Router("page_sign_in", pages=True)


class SignInQuery(BaseModel):
    """Where to go on."""

    next: str = Field(default="/", max_length=2000)


class SignInForm(BaseModel):
    """A name and a password."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(default="", max_length=200)
    password: SecretStr = Field(default=SecretStr(""), max_length=1000)
    next: str = Field(default="/", max_length=2000)


@router.route("GET", "/sign-in", Scope.PUBLIC, "Sign in", produces="text/html")
def show(call: Call, query: SignInQuery) -> Response:
    """By a password of this farm's, or through the provider, where there is one."""
    return _drawn(call, query.next)


@router.route("POST", "/sign-in", Scope.PUBLIC, "Sign in with a password", produces="text/html")
def enter(call: Call, form: SignInForm) -> Response:
    """On to where they were going."""
    if call.door.gate.is_foreign(request):
        raise Forbidden("another site's page made this request; nobody is signed in by it")
    call.door.limits.count(call.door.serve.sign_in_limit, "sign-in", call.peer)
    call.door.limits.count(call.door.serve.sign_in_name_limit, "sign-in-name", form.login.lower())
    try:
        secret = persons.sign_in(
            call.farm, form.login, form.password.get_secret_value(), call.peer, _agent(), _before(call)
        )
    except SignInFailed as error:
        return _drawn(call, form.next, error, form.login)
    return _signed_in(call, secret, form.next)


@router.route("GET", "/sign-in/provider", Scope.PUBLIC, "Sign in through the provider", produces="text/html")
def provider(call: Call, query: SignInQuery) -> Response:
    """On to the provider."""
    call.door.limits.count(call.door.serve.sign_in_limit, "sign-in", call.peer)
    try:
        return _provider(call).send(safe_next(query.next))
    except ProviderFailed as error:
        return _drawn(call, query.next, error)


@router.route("GET", BACK, Scope.PUBLIC, "Back from the provider", produces="text/html")
def back(call: Call) -> Response:
    """They are who the provider proves that they are; the first time, they are entered or refused."""
    call.door.limits.count(call.door.serve.sign_in_limit, "sign-in-back", call.peer)
    entry = audit.entry_of(None, "page_sign_in_back", request.path, call.peer, call.request_id)
    try:
        who, onward = _provider(call).receive()
        with audit.recording(call.farm, entry):
            audit.is_by(who.mail or who.subject, None, None)
            secret = persons.sign_in_from_provider(call.farm, who, call.peer, _agent(), _before(call))
    except (ProviderFailed, SignInRefused) as error:
        return _drawn(call, "/", error)
    return _signed_in(call, secret, onward)


@router.route("POST", "/sign-out", Scope.PERSON, "Sign out", produces="text/html")
def leave(call: Call) -> Response:
    """The session is over, here and at the farm."""
    with call.farm.write() as session:
        sessions.end(session, call.principal, call.principal.session or "")
    response = see("/sign-in")
    call.door.gate.cookie.take(request, response)
    return response


def _signed_in(call: Call, secret: str, onward: str) -> Response:
    response = see(safe_next(onward))
    call.door.gate.cookie.give(request, response, secret)
    return response


def _drawn(call: Call, onward: str, error: EnginehouseError | None = None, login: str = "") -> Response:
    known = call.door.provider
    status = error.status if error is not None else 200
    named = known.name if known is not None else None
    return page(call, "signin/show.html", status, next=safe_next(onward), error=error, login=login, provider=named)


def _provider(call: Call) -> Provider:
    if call.door.provider is None:
        raise NotFound("this farm has no identity provider", advice="Sign in with a name and a password.")
    return call.door.provider


def _before(call: Call) -> str | None:
    return call.door.gate.cookie.read(request)


def _agent() -> str:
    return request.headers.get("User-Agent", "")
