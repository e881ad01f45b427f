"""Persons: entered, changed and signed out by the farm's operator."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from api.v1.paging import PageQuery
from enginehouse.errors import Conflict
from enginehouse.people import PersonChange, PersonRequest, PersonView
from enginehouse.views import Page
from scheduler import audit, members, persons, sessions

router = Router("persons")


@router.route("GET", "/v1/persons", Scope.OPERATE, "The farm's persons, newest first")
def list_(call: Call, query: PageQuery) -> Page[PersonView]:
    """One page."""
    with call.farm.read() as session:
        return persons.list_(session, query.limit, query.after)


@router.route("POST", "/v1/persons", Scope.OPERATE, "Enter a person", status=201, errors=(Conflict,))
def create(call: Call, body: PersonRequest) -> PersonView:
    """Without a password they are invited: the first sign-in through the provider with this mail address takes it."""
    return persons.create(call.farm, body)


@router.route("GET", "/v1/persons/<person>", Scope.OPERATE, "A person")
def show(call: Call, person: str) -> PersonView:
    """By the name that they sign in with."""
    with call.farm.read() as session:
        return persons.get(session, person)


@router.route("PATCH", "/v1/persons/<person>", Scope.OPERATE, "Change a person", errors=(Conflict,))
def change(call: Call, person: str, body: PersonChange) -> PersonView:
    """What is not given stays. A new password, or being disabled, ends all of their sessions."""
    return persons.change(call.farm, call.principal, person, body)


@router.route("DELETE", "/v1/persons/<person>/sessions", Scope.OPERATE, "Sign a person out everywhere")
def sign_out(call: Call, person: str) -> None:
    """At once. They may sign in again, unless they are disabled."""
    with call.farm.write() as session:
        row = members.by_login(session, person)
        sessions.end_all(session, row.id)
        audit.concerns(f"person {row.login}")
