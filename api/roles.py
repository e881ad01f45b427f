"""Which role may ask which route: a table out of the declarations. ``python -m api.roles`` prints docs/routes.md."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from api.routing import Route
from enginehouse.people import Role
from scheduler.principal import PERSON

NOBODY = "nobody"
WORKER = "worker"
OPERATOR = "operator"
ROLES: dict[str, frozenset[str]] = {
    NOBODY: frozenset(),
    **{role.value: role.scopes | {PERSON} for role in Role},
    OPERATOR: frozenset({"operate", PERSON}),
    WORKER: frozenset({"work"}),
}
"""Who asks, by name, and the scopes that they have: persons, nobody in particular, and a worker's token."""

YES, OWN, NO = "yes", "own", ""

_HEAD = """\
# Who may ask what

Every address of the farm, and who may ask it; `make routes` makes this table from the declarations of the routes, and a
test asks every address as every role and compares.

**yes**: they may. **own**: they may, for what they submitted themselves; of what others submitted, maintainers may.
Empty: they are refused. Everybody sees the projects that they are a member of, and nothing of others
([people.md](people.md)). The scopes *read*, *submit*, *maintain* and *admin* are what the roles stand for and what
tokens are given; *operate* is the farm's operator, *work* a worker's token; *public* asks for nothing, and *person* for
whoever is signed in. Parts of uploads (*signed*) carry a signature in their address in place of a token. A project's
token with *submit* may change what tokens of the project submitted, and nothing that persons did.
"""


def rule(route: Route, role: str) -> str:
    """What this role may: YES, OWN or NO. Pure."""
    scopes = ROLES[role]
    if not route.allows(scopes):
        return NO
    return YES if route.allows(scopes, own=False) else OWN


def table(routes: Iterable[Route]) -> str:
    """The page."""
    lines = [_HEAD]
    for title, pages in (("The API", False), ("The pages", True)):
        lines += [f"## {title}\n"]
        lines += ["| method | address | needs | " + " | ".join(ROLES) + " |", "|---" * (3 + len(ROLES)) + "|"]
        chosen = [route for route in routes if route.page is pages]
        for route in sorted(chosen, key=lambda route: (route.rule, route.method)):
            needs = f"*{route.scope}*" + (f" (others': *{route.others}*)" if route.others else "")
            cells = [route.method, f"`{route.rule}`", needs, *(rule(route, role) for role in ROLES)]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def current() -> str:
    """The page of this application."""
    from api.app import all_routes  # it imports every route

    return table(all_routes())


if __name__ == "__main__":
    sys.stdout.write(current())
