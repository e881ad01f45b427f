"""The farm's persons, for its operator."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from api.auth import Scope
from api.pages import see
from api.pages.settings.drawing import drawn
from api.problems import invalid
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError
from enginehouse.people import PersonChange, PersonRequest
from scheduler import audit, members, persons, sessions

router = Router("page_settings_persons", pages=True)

_PAGE = 100


class PersonsQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, max_length=200)


class PersonForm(BaseModel):
    """A person to enter. Without a password they are invited."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(default="", max_length=200)
    name: str = Field(default="", max_length=100)
    password: SecretStr | None = Field(default=None, max_length=1000)
    operator: bool = False


class ChangeForm(BaseModel):
    """What to change of a person."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(max_length=200)
    what: str = Field(max_length=20)
    password: SecretStr | None = Field(default=None, max_length=1000)


_CHANGES = {
    "disable": {"disabled": True},
    "enable": {"disabled": False},
    "operator": {"operator": True},
    "no-operator": {"operator": False},
}


@router.route("GET", "/settings/persons", Scope.OPERATE, "The farm's persons", produces="text/html")
def show(call: Call, query: PersonsQuery) -> Response:
    """Newest first."""
    return _drawn(call, after=query.after)


@router.route("POST", "/settings/persons", Scope.OPERATE, "Enter a person", produces="text/html")
def enter(call: Call, form: PersonForm) -> Response:
    """They may sign in at once; a project's admin makes them a member."""
    try:
        try:
            password = form.password.get_secret_value() if form.password else None
            wanted = PersonRequest.model_validate({**form.model_dump(exclude={"password"}), "password": password})
        except ValidationError as error:
            raise invalid(error, "form") from None
        persons.create(call.farm, wanted)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/settings/persons")


@router.route("POST", "/settings/persons/change", Scope.OPERATE, "Change a person", produces="text/html")
def change(call: Call, form: ChangeForm) -> Response:
    """Let in or not, operator or not, a new password, or signed out everywhere."""
    try:
        if form.what == "sign-out":
            with call.farm.write() as session:
                row = members.by_login(session, form.login)
                sessions.end_all(session, row.id)
                audit.concerns(f"person {row.login}")
            return see("/settings/persons")
        try:
            given = _CHANGES.get(form.what, {"password": form.password.get_secret_value() if form.password else ""})
            wanted = PersonChange.model_validate(given)
        except ValidationError as error:
            raise invalid(error, "form") from None
        persons.change(call.farm, call.principal, form.login, wanted)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/settings/persons")


def _drawn(call: Call, error: EnginehouseError | None = None, after: str | None = None) -> Response:
    with call.farm.read() as session:
        found = persons.list_(session, _PAGE, after)
    provider = call.door.provider.name if call.door.provider is not None else None
    return drawn(call, "settings/persons.html", error, found=found, after=after, provider=provider)
