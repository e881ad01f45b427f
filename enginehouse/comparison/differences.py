"""What two or more nested values do not have in common, by dotted path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.comparison.views import Difference, Subject


def flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``; lists stay whole."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        path = f"{above}{key}"
        found |= flat(item, f"{path}.") if isinstance(item, Mapping) else {path: item}
    return found


def differences(values: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Fields that are not equal everywhere, in the order in which they first appear."""
    flattened = [flat(value) for value in values]
    paths = dict.fromkeys(path for one in flattened for path in one)
    rows = ((path, [one.get(path) for one in flattened]) for path in paths)
    return [Difference(field=path, values=row) for path, row in rows if any(value != row[0] for value in row)]


def environment_of(subject: Subject) -> dict[str, Any]:
    """Where it was built and measured, without what differs between any two runs (the machine's load)."""
    found: dict[str, Any] = {"hardware_class": subject.manifest.hardware_class, **subject.report.environment}
    if benchmark := subject.report.benchmark:
        conditions = benchmark.model_dump(mode="json", include={"threads", "affinity", "shapes"})
        found["benchmark"] = conditions | {
            "baseline": {"name": benchmark.baseline.name, **benchmark.settings.get("baseline", {})},
            "governor": benchmark.conditions.governor if benchmark.conditions else None,
        }
    return found
