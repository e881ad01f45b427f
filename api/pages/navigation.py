"""The places that every page links to. One whose page this version does not have is not shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Place:
    """A link of the navigation. It is the current one on its own address and on those below it."""

    title: str
    address: str
    scope: str = "read"
    below: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether a page is one of this place's."""
        return any(path == one or path.startswith(one + "/") for one in (self.address, *self.below))


PLACES = (
    Place("Jobs", "/jobs", below=("/builds", "/compare")),
    Place("Models", "/models"),
    Place("Datasets", "/datasets"),
    Place("Workers", "/workers", below=("/pools",)),
    Place("Farm", "/farm"),
    Place("Settings", "/settings"),
    Place("API", "/openapi"),
)
SUBMIT = Place("Submit", "/submit", "submit")
SETTINGS = (
    Place("Project", "/settings/project"),
    Place("Members", "/settings/members"),
    Place("Tokens", "/settings/tokens", "admin"),
    Place("Webhooks", "/settings/webhooks", "admin"),
    Place("Audit log", "/settings/audit", "admin"),
    Place("Persons", "/settings/persons", "operate"),
)
SIGN_OUT = Place("Sign out", "/sign-out")


def shown(places: Iterable[Place]) -> list[Place]:
    """Those that have a page."""
    return [place for place in places if place.address in _addresses()]


def knows(rule: str) -> bool:
    """Whether there is a page of this rule."""
    return rule in _addresses()


def link(path: str, *given: Mapping[str, Any], **changes: Any) -> str:
    """An address with its query: what was given, with the changes; what is empty is left out."""
    values: dict[str, Any] = {}
    for some in given:
        values |= some
    pairs = []
    for name, value in (values | changes).items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one not in (None, "", False):
                pairs.append((name, "1" if one is True else str(one)))
    return f"{path}?{urlencode(pairs)}" if pairs else path


@cache
def _addresses() -> frozenset[str]:
    from api.app import all_routes  # it imports every page

    return frozenset(route.rule for route in all_routes())
