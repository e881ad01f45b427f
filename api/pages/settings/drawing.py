"""What the pages of the settings have in common."""

from __future__ import annotations

from typing import Any

from flask import Response

from api.pages import navigation, page
from api.routing import Call
from enginehouse.errors import EnginehouseError


def drawn(call: Call, template: str, error: EnginehouseError | None = None, **values: Any) -> Response:
    """A page of the settings, with the tabs that this caller may see, and the error of the form that was sent."""
    may = call.principal.may
    places = [place for place in navigation.shown(navigation.SETTINGS) if may(place.scope)]
    tabs = [(place.title, place.address, None) for place in places]
    return page(call, template, error.status if error is not None else 200, settings_tabs=tabs, error=error, **values)
