"""Which nodes of the IR an ``ignored_scopes`` means. Names are the source's; the IR's own are fused and made up."""

from __future__ import annotations

import re
from typing import Any

from enginehouse.errors import InvalidOption
from workers.backends.openvino.graph import nodes
from workers.backends.openvino.naming import Names
from workers.backends.openvino.options import OpenVinoOptions
from workers.backends.openvino.options import ignored as meant

_MOST = 20


def ignored(options: OpenVinoOptions, model: Any, source: Names) -> list[str]:
    """Names of the IR's nodes that stay in float. Raises InvalidOption for a rule that means none."""
    scopes = meant(options)
    if not (scopes.names or scopes.types or scopes.patterns):
        return []
    known: dict[str, tuple[str, set[str]]] = {}
    for node in nodes(model):
        name, kind = node.get_friendly_name(), node.get_type_name()
        if kind not in ("Constant", "Parameter", "Result"):
            known[name] = kind, {name, *source.of([name])}
    named = source.of(known)
    found: set[str] = set()
    for rule in scopes.names:
        found |= _some(f"names: '{rule}'", {name for name, (_, own) in known.items() if rule in own}, named)
    for rule in scopes.types:
        of_type = {name for name, (kind, _) in known.items() if kind == rule}
        found |= _some(f"types: '{rule}'", of_type, sorted({kind for kind, _ in known.values()}))
    for rule in scopes.patterns:
        pattern = re.compile(rule)
        matching = {name for name, (_, own) in known.items() if any(pattern.match(one) for one in own)}
        found |= _some(f"patterns: '{rule}'", matching, named)
    return sorted(found)


def _some(rule: str, found: set[str], known: list[str]) -> set[str]:
    if not found:
        shown = ", ".join(known[:_MOST]) + (" …" if len(known) > _MOST else "")
        raise InvalidOption(f"ignored_scopes, {rule} means no node; there are {shown}", option="ignored_scopes")
    return found
