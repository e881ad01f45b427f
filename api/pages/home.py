"""The front door."""

from __future__ import annotations

from flask import Response

from api.auth import Scope
from api.pages import see
from api.routing import Call, Router

router = Router("page_home", pages=True)


@router.route("GET", "/", Scope.READ, "The front door", produces="text/html", status=303)
def show(_call: Call) -> Response:
    """On to the jobs, whose empty list teaches the first step."""
    return see("/jobs")
