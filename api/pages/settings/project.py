"""The project: its share of the farm, its quotas, what it uses."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth import Scope
from api.pages import see
from api.pages.settings.drawing import drawn
from api.problems import invalid
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError
from enginehouse.views import ProjectChange
from scheduler import projects
from scheduler.registry.tables import Project
from scheduler.retention.usage import stored_bytes

router = Router("page_settings_project", pages=True)

_QUOTAS = ("most_running", "most_waiting", "most_bytes")


class ProjectForm(BaseModel):
    """What an operator changes. An empty quota is the farm's own."""

    model_config = ConfigDict(extra="forbid")

    weight: str = Field(default="1", max_length=20)
    most_running: str | None = Field(default=None, max_length=20)
    most_waiting: str | None = Field(default=None, max_length=20)
    most_bytes: str | None = Field(default=None, max_length=20)


class NewProjectForm(BaseModel):
    """A project to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=100)


@router.route("GET", "/settings/project", Scope.READ, "The project", produces="text/html")
def show(call: Call) -> Response:
    """Its operator can change it; everybody can read it."""
    return _drawn(call)


@router.route("POST", "/settings/project", Scope.OPERATE, "Change the project's share or quotas", produces="text/html")
def change(call: Call, form: ProjectForm) -> Response:
    """What builds already goes on."""
    try:
        wanted = ProjectChange.model_validate(form.model_dump())
    except ValidationError as error:
        return _drawn(call, invalid(error, "form"), form)
    with call.farm.write() as session:
        projects.change(session, session.get_one(Project, call.principal.project).name, wanted)
    call.farm.broker.wake()  # a larger quota may let builds begin
    return see("/settings/project")


@router.route("POST", "/settings/projects", Scope.OPERATE, "Make a project", produces="text/html")
def make(call: Call, form: NewProjectForm) -> Response:
    """Its operator then makes somebody its admin."""
    from api.v1.projects import ProjectRequest

    try:
        try:
            wanted = ProjectRequest(name=form.name)
        except ValidationError as error:
            raise invalid(error, "form") from None
        with call.farm.write() as session:
            projects.create(session, wanted.name, ProjectChange())
    except EnginehouseError as error:
        return _drawn(call, error)
    return see("/settings/project#projects")


def _drawn(call: Call, error: EnginehouseError | None = None, form: ProjectForm | None = None) -> Response:
    with call.farm.read() as session:
        row = session.get_one(Project, call.principal.project)
        view = projects.get(session, row.name)
        stored = stored_bytes(session, row.id)
        everyone = projects.list_(session) if call.principal.may("operate") else []
    given: dict[str, Any] = form.model_dump() if form else {name: getattr(view, name) for name in ("weight", *_QUOTAS)}
    settings = call.farm.settings
    return drawn(
        call,
        "settings/project.html",
        error,
        view=view,
        stored=stored,
        given=given,
        everyone=everyone,
        own={"most_running": settings.most_running, "most_waiting": settings.most_waiting, "most_bytes": None},
    )
