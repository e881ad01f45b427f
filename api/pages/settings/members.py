"""The project's members and their roles."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import see
from api.pages.settings.drawing import drawn
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError, RequestError
from enginehouse.people import Role
from scheduler import members

router = Router("page_settings_members", pages=True)

_PAGE = 100
MEANS = {
    Role.VIEWER: "reads everything of the project",
    Role.SUBMITTER: "also submits, and changes what they submitted themselves",
    Role.MAINTAINER: "also cancels, retries, re-prioritises, pins and deletes what others submitted",
    Role.ADMIN: "also manages members, tokens and webhooks, and reads the audit log",
}


class MembersQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, max_length=200)


class MemberForm(BaseModel):
    """A member to be, or another role."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(default="", max_length=200)
    role: str = Field(default="viewer", max_length=20)


class RemoveForm(BaseModel):
    """A member who is to go."""

    model_config = ConfigDict(extra="forbid")

    login: str = Field(max_length=200)


@router.route("GET", "/settings/members", Scope.READ, "The project's members", produces="text/html")
def show(call: Call, query: MembersQuery) -> Response:
    """Admins change them; everybody can see them."""
    return _drawn(call, after=query.after)


@router.route("POST", "/settings/members", Scope.ADMIN, "Make a member, or change a role", produces="text/html")
def put(call: Call, form: MemberForm) -> Response:
    """It holds from their next request on."""
    try:
        if form.role not in set(Role):
            raise RequestError(f"there is no role '{form.role}'", field="role")
        with call.farm.write() as session:
            members.put(session, call.principal, form.login, Role(form.role))
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/settings/members")


@router.route("POST", "/settings/members/remove", Scope.ADMIN, "Remove a member", produces="text/html")
def remove(call: Call, form: RemoveForm) -> Response:
    """What they submitted stays."""
    try:
        with call.farm.write() as session:
            members.remove(session, call.principal, form.login)
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/settings/members")


def _drawn(call: Call, error: EnginehouseError | None = None, after: str | None = None) -> Response:
    with call.farm.read() as session:
        found = members.list_(session, call.principal, None, _PAGE, after)
    return drawn(call, "settings/members.html", error, found=found, roles=MEANS, after=after)
