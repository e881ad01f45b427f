"""Pages for people: drawn on the server, readable without scripts, nothing from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, g, has_request_context, redirect, request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.pages import asset, navigation, words
from enginehouse import __version__
from enginehouse.errors import EnginehouseError
from enginehouse.views import MaintenanceView
from scheduler import audit, control, events
from scheduler.registry.tables import Project

if TYPE_CHECKING:
    from api.routing import Call

HTML = "text/html; charset=utf-8"

_jinja = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_jinja.filters |= words.FILTERS
_jinja.globals |= {
    "asset": asset.address,
    "version": __version__,
    "link": navigation.link,
    "knows": navigation.knows,
}


def page(call: Call, template: str, status: int = 200, **values: Any) -> Response:
    """A template as an answer, with what every page shows beside it. Everything is escaped."""
    error = values.get("error")
    if isinstance(error, EnginehouseError):
        audit.refused(error)  # it is drawn and not raised
    return Response(_drawn(template, **_around(call), **values), status, content_type=HTML)


def see(address: str) -> Response:
    """Send the browser on to an address of ours after a form."""
    found = redirect(address, 303)
    assert isinstance(found, Response)
    return found


def live(session: Session, job: str | None = None) -> str:
    """The address of the events that follow what this session reads: nothing between the page and them is missed."""
    of = f"job={job}&" if job else ""
    return f"/v1/events?{of}after={events.newest(session)}"


def draw_error(error: EnginehouseError, status: int) -> Response:
    """An error as a page of its own; also for those who are nobody, and where the registry is away."""
    values = _outside()
    call = g.get("call")
    if call is not None and status < 500:
        with suppress(EnginehouseError, SQLAlchemyError):
            values = _around(call)
    text = _drawn("error.html", **values, error=error, status=status, request_id=g.get("request_id", ""))
    return Response(text, status, content_type=HTML)


def _drawn(template: str, **values: Any) -> str:
    path = request.path if has_request_context() else "/"
    here = {"path": path, "places": navigation.shown(navigation.PLACES)}
    return _jinja.get_template(template).render(**{**here, **values})


def _around(call: Call) -> dict[str, Any]:
    """Who asks, for which project, what they may do, and whether the farm is in maintenance."""
    if call.caller is None:
        return _outside()
    principal = call.principal
    with call.farm.read() as session:
        row = session.get(Project, principal.project)
        project = row.name if row is not None else "no project"  # a person who is a member of none
        maintenance = control.maintenance(session)
    return _chrome(principal.name, project, maintenance, principal.may, signed_in=principal.session is not None)


def _outside() -> dict[str, Any]:
    """What a page shows to nobody in particular."""
    return _chrome(None, None, MaintenanceView(on=False), lambda _scope: False)


def _chrome(
    who: str | None,
    project: str | None,
    maintenance: MaintenanceView,
    may: Callable[[str], bool],
    signed_in: bool = False,
) -> dict[str, Any]:
    return {
        "who": who,
        "project": project,
        "maintenance": maintenance,
        "may": may,
        "submit_place": navigation.shown([navigation.SUBMIT]) if may("submit") else [],
        "signed_in": signed_in,
        "sign_out_place": navigation.shown([navigation.SIGN_OUT]) if signed_in else [],
    }
