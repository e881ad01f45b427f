"""Tokens: made, listed and revoked by an administrator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.views import Page, TokenView
from scheduler import tokens

router = Router("tokens")


class TokenRequest(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="for people")
    scopes: list[str] = Field(
        min_length=1, max_length=8, description="of read, submit, maintain, admin, operate; or work alone"
    )
    expires_days: int | None = Field(default=None, ge=1, le=3650)
    project: str | None = Field(default=None, description="whose token it is; another project's needs 'operate'")


class NewToken(TokenView):
    """A token with its secret, which is shown this once."""

    token: str


@router.route("POST", "/v1/tokens", Scope.ADMIN, "Make a token; its secret is shown this once", status=201)
def create(call: Call, body: TokenRequest) -> NewToken:
    """The farm keeps only a hash of it."""
    with call.farm.write() as session:
        view, secret = tokens.create(session, call.principal, body.name, body.scopes, body.expires_days, body.project)
    return NewToken(**view.model_dump(), token=secret)


@router.route("GET", "/v1/tokens", Scope.ADMIN, "The project's tokens, without their secrets")
def list_(call: Call) -> Page[TokenView]:
    """All of them; there is no further page."""
    with call.farm.read() as session:
        return Page[TokenView](items=tokens.list_(session, call.principal))


@router.route("DELETE", "/v1/tokens/<token>", Scope.ADMIN, "Revoke a token")
def revoke(call: Call, token: str) -> None:
    """It is refused from now on. The bootstrap tokens of the settings can be revoked too."""
    with call.farm.write() as session:
        tokens.revoke(session, call.principal, token)
