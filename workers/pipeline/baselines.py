"""The baselines that a job names: built beside the artifact, then measured in turns with it, one after the other.

They are built before the artifact is, since only then may this process be forked. One that cannot be built, or raises
an error as it is loaded or run, has its reason in the report and fails nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enginehouse.errors import EnginehouseError, Failure, InvalidShapes
from enginehouse.report import OtherBaseline
from enginehouse.targets import Target
from workers.backends import get
from workers.backends.base import first_line
from workers.backends.workpiece import Workpiece
from workers.pipeline.aside import Aside, build_aside
from workers.pipeline.order import Order

if TYPE_CHECKING:
    from enginehouse.report import Benchmark
    from workers.pipeline.sides import Side
    from workers.pipeline.verify import Cases

LONGEST_S = 600.0
"""Seconds that a baseline's build may take; they count in the build's own time, too."""


@dataclass(frozen=True)
class Built:
    """A baseline with what came of its build; None, and the reason, where nothing did."""

    target: Target
    made: Aside | None
    reason: str = ""


def build_baselines(order: Order) -> list[Built]:
    """Those of the order's recipe, each in a process of its own. Call it before a runtime has started threads here."""
    found = []
    for number, target in enumerate(order.recipe.against() if order.recipe.benchmark else ()):
        if order.backends and target.backend not in order.backends:
            found.append(Built(target, None, f"this worker does not offer {target.backend}"))
            continue
        _say(f"baseline {target}:")
        made = build_aside(order, target, order.work / "baselines" / str(number), LONGEST_S, check=False)
        found.append(Built(target, None, made.detail) if isinstance(made, Failure) else Built(target, made))
        if isinstance(made, Failure):
            _say(f"baseline {target} could not be built: {made.detail}")
    return found


def measure_baselines(
    order: Order, artifact: Side, piece: Workpiece, cases: Cases, threads: int, built: Sequence[Built]
) -> list[OtherBaseline]:
    """Each in turns with the artifact, with the same threads, by the benchmark's own routine."""
    wanted = order.recipe.against()
    return [_measured(order, artifact, piece, cases, threads, one) for one in built if one.target in wanted]


def _measured(order: Order, artifact: Side, piece: Workpiece, cases: Cases, threads: int, one: Built) -> OtherBaseline:
    row = OtherBaseline(name=str(one.target), reason=one.reason)
    if one.made is None:
        return row
    backend = get(one.target.backend)
    row.toolchain = backend.toolchain()
    try:
        benchmark = _timed(order, artifact, piece, cases, threads, one.target, one.made)
    except EnginehouseError as error:
        row.reason = error.detail
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises, it is the baseline's and not the artifact's
        row.reason = f"{type(error).__name__}: {first_line(error)}"
    else:
        row.settings = benchmark.settings["baseline"]
        row.artifact_p50_ms, row.p50_ms = benchmark.artifact.p50_ms, benchmark.baseline.p50_ms
        for name in ("speedup", "speedup_low", "speedup_high", "pairs", "tries", "disturbed", "disturbance"):
            setattr(row, name, getattr(benchmark, name))
    if row.reason:
        _say(f"baseline {row.name} is not measured: {row.reason}")
    return row


def _timed(
    order: Order, artifact: Side, piece: Workpiece, cases: Cases, threads: int, target: Target, made: Aside
) -> Benchmark:
    """Latencies of both on the first case."""
    from workers.pipeline.measure import measure
    from workers.pipeline.sides import load_artifact

    backend = get(target.backend)
    options = backend.check(target, order.signature.format)
    own, _ = backend.fed(replace(piece, target=target, options=options), cases.feeds[0])
    side = load_artifact(backend, made.saved, options, threads)
    try:
        if not side.session.takes(own):
            raise InvalidShapes("it was made for other shapes than those that are timed")
        side.name = str(target)
        _say(f"against {target}:")
        both = replace(cases, feeds=[dict(own)], fed=[cases.fed[0]], outputs=cases.outputs[:1])
        latencies = order.model_copy(update={"throughput": False})
        return measure(latencies, artifact, side, both, threads)
    finally:
        side.close()


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - standard output is the build's log
