"""Members: who is what in a project."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from api.v1.paging import PageQuery
from enginehouse.errors import Conflict, NotFound
from enginehouse.people import MemberRequest, MemberView
from enginehouse.views import Page
from scheduler import members

router = Router("members")

_WHOSE = "another project than your own; that needs 'operate'"


class MembersQuery(PageQuery):
    """Whose members."""

    project: str | None = Field(default=None, max_length=100, description=_WHOSE)


class ProjectQuery(BaseModel):
    """In which project."""

    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(default=None, max_length=100, description=_WHOSE)


@router.route("GET", "/v1/members", Scope.READ, "The project's members, by name", errors=(NotFound,))
def list_(call: Call, query: MembersQuery) -> Page[MemberView]:
    """One page."""
    with call.farm.read() as session:
        return members.list_(session, call.principal, query.project, query.limit, query.after)


@router.route(
    "PUT", "/v1/members/<person>", Scope.ADMIN, "Make a person a member, or change their role", errors=(Conflict,)
)
def put(call: Call, person: str, body: MemberRequest, query: ProjectQuery) -> MemberView:
    """It holds from their next request on. The project's last admin stays one, unless an operator changes it."""
    with call.farm.write() as session:
        return members.put(session, call.principal, person, body.role, query.project)


@router.route("DELETE", "/v1/members/<person>", Scope.ADMIN, "Make a person a member no longer", errors=(Conflict,))
def remove(call: Call, person: str, query: ProjectQuery) -> None:
    """Their own tokens for the project are refused with it. What they submitted stays."""
    with call.farm.write() as session:
        members.remove(session, call.principal, person, query.project)
