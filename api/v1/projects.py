"""Projects: the farm's tenants, set up by its operator."""

from __future__ import annotations

from pydantic import Field

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.errors import Conflict, NotFound
from enginehouse.views import Page, ProjectChange, ProjectView
from scheduler import projects

router = Router("projects")


class ProjectRequest(ProjectChange):
    """A project to make."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")


@router.route("GET", "/v1/projects", Scope.OPERATE, "The farm's projects, with shares, quotas and what they use")
def list_(call: Call) -> Page[ProjectView]:
    """All of them; there is no further page."""
    with call.farm.read() as session:
        return Page[ProjectView](items=projects.list_(session))


@router.route("POST", "/v1/projects", Scope.OPERATE, "Make a project", status=201, errors=(Conflict,))
def create(call: Call, body: ProjectRequest) -> ProjectView:
    """Tokens for it are made with ``POST /v1/tokens`` and its name."""
    with call.farm.write() as session:
        return projects.create(session, body.name, ProjectChange(**body.model_dump(exclude={"name"})))


@router.route(
    "PATCH", "/v1/projects/<project>", Scope.OPERATE, "Change a project's share or quotas", errors=(NotFound,)
)
def change(call: Call, project: str, body: ProjectChange) -> ProjectView:
    """What is not given stays; builds that run go on."""
    with call.farm.write() as session:
        view = projects.change(session, project, body)
    call.farm.broker.wake()  # a larger quota may let builds begin
    return view
