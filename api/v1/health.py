"""Health (the process answers) and readiness (so does everything that it needs)."""

from __future__ import annotations

from flask import request
from sqlalchemy.exc import SQLAlchemyError

from api.auth import Scope
from api.routing import Call, Reply, Router
from enginehouse import __version__
from enginehouse.errors import EnginehouseError
from enginehouse.views import Health

router = Router("health")


@router.route("GET", "/healthz", Scope.PUBLIC, "Whether the process answers; looks at nothing else")
def live(_call: Call) -> Health:
    """Answer at once."""
    return Health(ready=True, version=__version__, checks={})


@router.route(
    "GET",
    "/readyz",
    Scope.PUBLIC,
    "Whether the registry, the broker and the store answer",
    also={503: "A part does not answer; 'checks' says which, and why to those who bring a token"},
)
def ready(call: Call) -> Reply[Health]:
    """Ask each part. What is wrong with it may name hosts, so strangers read only that it is."""
    checks = call.farm.checks()
    whole = all(state == "ok" for state in checks.values())
    if not whole and not _may_know(call):
        checks = {part: state if state == "ok" else "does not answer" for part, state in checks.items()}
    return Reply(Health(ready=whole, version=__version__, checks=checks), 200 if whole else 503)


def _may_know(call: Call) -> bool:
    try:
        call.door.gate.identify(request)
    except (EnginehouseError, SQLAlchemyError):
        return False
    return True
