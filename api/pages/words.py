"""Words and numbers for people: filters of the templates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from enginehouse.states import ENDED, BuildState
from enginehouse.views import BuildView

_UNITS = (("year", 365 * 86_400), ("month", 30 * 86_400), ("day", 86_400), ("h", 3600), ("min", 60))
_LONG = frozenset({"year", "month", "day"})
_SHA = re.compile(r"[0-9a-f]{64}")
_ORIGINS = {"built": "succeeded", "cache": "succeeded, from the cache", "joined": "succeeded, with another build"}
DASH = "\u2013"
BY = "\u00d7"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, or in how long, in one unit."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    said = span(abs(seconds), least=1)
    return f"in {said}" if seconds < -1 else f"{said} ago" if seconds >= 1 else "now"


def span(seconds: float, least: float = 0.0) -> str:
    """A duration in one unit: whole ones above a minute."""
    for unit, length in _UNITS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}s" if count > 1 and unit in _LONG else f"{count} {unit}"
    return (
        f"{seconds:.0f} s" if seconds >= 10 or least >= 1 else f"{seconds:.2g} s" if seconds >= 1 else ms(seconds * 1e3)
    )


def clock(seconds: float) -> str:
    """A duration in two units, as timelines have it."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return span(seconds)


def absolute(moment: datetime) -> str:
    """The moment itself, UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: float | None) -> str:
    """Bytes."""
    if count is None:
        return DASH
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def ms(value: float | None) -> str:
    """Milliseconds, with three figures, in the unit that suits them."""
    if value is None:
        return DASH
    if value >= 10_000:
        return f"{value / 1000:.3g} s"
    if value >= 1000:
        return f"{value:.0f} ms"
    return f"{value:.3g} ms" if value >= 0.1 or value == 0 else f"{value * 1000:.3g} µs"


def times(value: float | None) -> str:
    """A factor."""
    return DASH if value is None else f"{value:.2f}{BY}"


def share(value: float | None) -> str:
    """A share of 1 in percent."""
    return DASH if value is None else f"{value * 100:.1f} %"


def number(value: float | None, form: str = ".3g") -> str:
    """A number in the given form, or a dash."""
    return DASH if value is None else format(value, form)


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return DASH if value is None else f"{value:,}".replace(",", "\u202f")


def plural(value: int, one: str, many: str | None = None) -> str:
    """'1 build', '2 builds'."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def short(identifier: str | None) -> str:
    """The first twelve digits of a SHA-256; other ids without their middle."""
    if not identifier:
        return DASH
    if _SHA.fullmatch(identifier):
        return identifier[:12]
    head, under, tail = identifier.rpartition("_")
    return f"{head}{under}…{tail[-6:]}" if under and len(tail) > 8 else identifier


def shape(dimensions: Iterable[int | str | None] | None) -> str:
    """A tensor's shape; what is not known is a question mark."""
    return (
        "unknown"
        if dimensions is None
        else f" {BY} ".join("?" if one is None else str(one) for one in dimensions) or "scalar"
    )


def value(anything: Any) -> str:
    """Any value in one line: text as it is, the rest as JSON."""
    if anything is None:
        return DASH
    return anything if isinstance(anything, str) else json.dumps(anything, ensure_ascii=False, default=str)


def places(where: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where an error is, in words; what its sentence says already in a list of its own is left out."""
    found = []
    for name, given in where.items():
        if isinstance(given, list | tuple):
            if any(isinstance(one, Mapping) for one in given):
                continue
            found.append((name.replace("_", " "), ", ".join(map(value, given))))
        elif given not in (None, ""):
            found.append((name.replace("_", " "), value(given)))
    return found


def told(build: BuildView) -> str:
    """What a person should know of a build's state now, in words."""
    if build.state is BuildState.RUNNING:
        return f"running: {build.phase}" if build.phase else "running"
    if build.state is BuildState.SUCCEEDED:
        return _ORIGINS[build.origin] if build.origin is not None else "succeeded"
    if build.state is BuildState.FAILED and build.failure is not None:
        return f"{build.failure.title}: {build.failure.detail}"
    if build.state not in ENDED and build.reason:
        return f"{build.state}: {build.reason}"
    return str(build.state)


FILTERS: dict[str, Callable[..., Any]] = {
    word.__name__: word
    for word in (
        ago,
        span,
        clock,
        absolute,
        size,
        ms,
        times,
        share,
        number,
        count,
        plural,
        short,
        shape,
        value,
        places,
        told,
    )
}
