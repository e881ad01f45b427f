"""What came of builds, in a few numbers each, picked out of the reports in the database: these may be megabytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.exploration import Exploration
from scheduler.registry.tables import Artifact, Pin
from scheduler.tokens import Principal


@dataclass(frozen=True)
class Result:
    """An artifact in one row. What was not measured is None; of several outputs, the worst counts."""

    artifact: str
    size: int | None
    agrees: bool | None
    """with the source model; None: it was not verified"""
    max_abs_error: float | None
    cosine: float | None
    sqnr_db: float | None
    p50_ms: float | None
    p90_ms: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    disturbed: bool
    exploration: Exploration | None
    pinned: bool
    pin_note: str
    evicted: datetime | None


def of(session: Session, principal: Principal, artifacts: Collection[str]) -> dict[str, Result]:
    """By artifact id. That the project may see them was decided by whoever found them with its builds."""
    report = Artifact.report
    query = select(
        Artifact.id,
        Artifact.evicted,
        report["size"].as_integer(),
        report[("verification", "agrees")].as_boolean(),
        report[("verification", "outputs")],
        report[("benchmark", "artifact", "p50_ms")].as_float(),
        report[("benchmark", "artifact", "p90_ms")].as_float(),
        report[("benchmark", "speedup")].as_float(),
        report[("benchmark", "speedup_low")].as_float(),
        report[("benchmark", "speedup_high")].as_float(),
        report[("benchmark", "disturbed")].as_boolean(),
        report["exploration"],
    ).where(Artifact.id.in_(list(artifacts)))
    pins = _pins(session, principal, artifacts)
    found = {}
    for id_, evicted, size, agrees, outputs, p50, p90, speedup, low, high, disturbed, explored in session.execute(
        query
    ):
        found[id_] = Result(
            artifact=id_,
            size=size,
            agrees=agrees,
            max_abs_error=_worst(outputs, "max_abs_error", max),
            cosine=_worst(outputs, "cosine", min),
            sqnr_db=_worst(outputs, "sqnr_db", min),
            p50_ms=p50,
            p90_ms=p90,
            speedup=speedup,
            speedup_low=low,
            speedup_high=high,
            disturbed=bool(disturbed),
            exploration=Exploration.model_validate(explored) if explored else None,
            pinned=id_ in pins,
            pin_note=pins.get(id_, ""),
            evicted=evicted,
        )
    return found


def _worst(outputs: list[dict[str, Any]] | None, name: str, choose: Callable[[Iterable[float]], float]) -> float | None:
    known = [one[name] for one in outputs or () if one.get(name) is not None]
    return choose(known) if known else None


def _pins(session: Session, principal: Principal, artifacts: Collection[str]) -> dict[str, str]:
    mine = select(Pin.artifact_id, Pin.note).where(
        Pin.project_id == principal.project, Pin.artifact_id.in_(list(artifacts))
    )
    return dict(session.execute(mine).all())
