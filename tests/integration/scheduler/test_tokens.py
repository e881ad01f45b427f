"""Tokens: kept as hashes, with scopes, ends and revocation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from farmhand import me
from sqlalchemy import select, update

from enginehouse.errors import NotFound, RequestError, Unauthenticated
from scheduler import tokens
from scheduler.registry.engine import now
from scheduler.registry.tables import Token


def made(farm, scopes=("read",), days=None):
    with farm.write() as session:
        return tokens.create(session, me(farm), "ci", list(scopes), days)


def who(farm, secret):
    with farm.read() as session:
        return tokens.authenticate(session, secret)


def test_a_token_is_known_by_its_secret_which_is_not_kept(farm):
    view, secret = made(farm, ["submit", "read"])
    assert who(farm, secret).scopes == {"read", "submit"}
    with farm.read() as session:
        row = session.get_one(Token, view.id)
        assert secret not in str(vars(row))


def test_an_end_and_a_revocation_are_obeyed(farm):
    view, secret = made(farm, days=1)
    with farm.write() as session:
        session.execute(update(Token).where(Token.id == view.id).values(expires=now(session) - timedelta(seconds=1)))
    with pytest.raises(Unauthenticated, match="expired"):
        who(farm, secret)
    view, secret = made(farm)
    with farm.write() as session:
        tokens.revoke(session, me(farm), view.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        who(farm, secret)


def test_a_mistyped_token_is_told_from_an_unknown_one(farm):
    _, secret = made(farm)
    with pytest.raises(Unauthenticated, match="mistyped"):
        who(farm, secret[:-1])
    with pytest.raises(Unauthenticated, match="not one of this farm's"):
        who(farm, tokens.mint())


@pytest.mark.parametrize("scopes", [[], ["root"], ["work", "read"], ["work", "admin"]])
def test_scopes_that_are_none_or_must_not_stand_together(farm, scopes):
    with pytest.raises(RequestError, match="scope"):
        made(farm, scopes)


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("maintain", "read submit maintain"),
        ("admin", "read submit maintain admin"),
        ("operate", "read submit maintain admin operate"),
    ],
)
def test_what_a_scope_implies_and_none_implies_working(farm, scope, may):
    _, secret = made(farm, [scope])
    principal = who(farm, secret)
    assert [scope for scope in tokens.SCOPES if principal.may(scope)] == may.split()


def test_use_is_noted(farm):
    view, secret = made(farm)
    tokens.touch(farm, who(farm, secret))
    with farm.read() as session:
        assert session.scalar(select(Token.last_used).where(Token.id == view.id)) is not None


def test_revoking_what_is_not_there(farm):
    with farm.write() as session, pytest.raises(NotFound):
        tokens.revoke(session, me(farm), "token_x")
