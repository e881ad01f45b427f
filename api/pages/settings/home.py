"""Where settings begin."""

from __future__ import annotations

from flask import Response

from api.auth import Scope
from api.pages import see
from api.routing import Call, Router

router = Router("page_settings", pages=True)


@router.route("GET", "/settings", Scope.READ, "Settings", produces="text/html", status=303)
def show(_call: Call) -> Response:
    """On to the project's."""
    return see("/settings/project")
