"""The project's tokens: made, shown once, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import see
from api.pages.settings.drawing import drawn
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError, RequestError
from scheduler import tokens

router = Router("page_settings_tokens", pages=True)

MEANS = {
    "read": "reads everything of the project",
    "submit": "uploads and submits",
    "maintain": "also changes what persons submitted",
    "admin": "also manages members, tokens and webhooks",
    "operate": "operates the whole farm",
    "work": "signs a worker on; alone",
}
_FARMS = {"operate", "work"}


class TokenForm(BaseModel):
    """A token to make. Without days it ends when it is revoked."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=100)
    scopes: list[str] = Field(default=[], max_length=8)
    expires_days: int | None = Field(default=None, ge=1, le=3650)


class RevokeForm(BaseModel):
    """A token to revoke."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=40)


@router.route("GET", "/settings/tokens", Scope.ADMIN, "The project's tokens", produces="text/html")
def show(call: Call) -> Response:
    """Without their secrets."""
    return _drawn(call)


@router.route("POST", "/settings/tokens", Scope.ADMIN, "Make a token", produces="text/html")
def make(call: Call, form: TokenForm) -> Response:
    """Its secret is on the page that answers, and nowhere else."""
    try:
        if not form.name:
            raise RequestError("the token has no name", advice="Say what it is for.", field="name")
        with call.farm.write() as session:
            view, secret = tokens.create(session, call.principal, form.name, form.scopes, form.expires_days)
    except EnginehouseError as error:
        return _drawn(call, error)
    return _drawn(call, made=view, secret=secret)


@router.route("POST", "/settings/tokens/revoke", Scope.ADMIN, "Revoke a token", produces="text/html")
def revoke(call: Call, form: RevokeForm) -> Response:
    """It is refused from now on."""
    try:
        with call.farm.write() as session:
            tokens.revoke(session, call.principal, form.token)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/settings/tokens")


def _drawn(call: Call, error: EnginehouseError | None = None, **more: Any) -> Response:
    with call.farm.read() as session:
        found = tokens.list_(session, call.principal)
    operates = call.principal.may("operate")
    scopes = {name: means for name, means in MEANS.items() if operates or name not in _FARMS}
    given: dict[str, Any] = {"made": None, "secret": None, **more}
    moment = datetime.now().astimezone()
    return drawn(call, "settings/tokens.html", error, tokens=found, scopes=scopes, moment=moment, **given)
