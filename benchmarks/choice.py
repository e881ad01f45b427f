"""(f) ``auto`` against exhaustive search on real models: how fast its choice is, and what finding it cost.

Exhaustive: every candidate converted, verified and timed in full, then every artifact under every runtime setting
timed for as long. Both choices and plain ONNX Runtime are then timed in turns.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure
from enginehouse.exploration import Candidate, Stage, best
from enginehouse.formats import Format
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.targets import AUTO, Precision, Target
from scheduler.inspection import inspect_model
from workers.exploration.candidates import ANCHOR, candidates
from workers.exploration.entrants import Entrant, entrants, raced
from workers.exploration.explore import explore
from workers.exploration.options import AutoOptions
from workers.exploration.trial import Trial, try_out
from workers.pipeline.apart import apart
from workers.pipeline.order import Order
from workers.probe import Found, probe
from zoo.fetch import model_path
from zoo.light import light_model
from zoo.samples import SAMPLED

MODELS = ("magika", "silero-vad-openvino", "light_shufflenet", "light_resnet50", "ppocr-rec", "ppocr-cls", "ppocr-det")
MOST_S = 3600.0
TIMED_S = 3.0
ROUNDS = 5


def choices(folder: Path) -> Iterator[Figure]:
    """Three figures a model: its choice against the best there is, against plain ONNX Runtime, and what it cost."""
    import workers.child.warm  # noqa: F401 - a worker's child has it loaded too

    found = probe()
    for name in MODELS:
        yield from _model(name, found, folder)


def _model(name: str, found: Found, folder: Path) -> list[Figure]:
    order = _order(name, found, folder)
    begin = time.monotonic()
    chosen = apart(lambda: explore(order).report.model_dump_json(), MOST_S)  # a worker, too, has a process for it
    if chosen.failure is not None:
        raise RuntimeError(f"{name}: {chosen.failure.detail}")
    report = Report.model_validate_json(chosen.text)
    assert report.exploration is not None
    full_s = sum(one.seconds for one in report.phases)
    ours_s = time.monotonic() - begin - full_s  # the full build of what is chosen comes after either
    begin = time.monotonic()
    trials, every = _exhaustive(_emptied(order))
    theirs_s = time.monotonic() - begin
    rival = best([one for one in every if one.stage is Stage.RACED])
    mine = report.exploration.candidates[0]
    final = _side_by_side(order, trials, [mine, rival])
    shutil.rmtree(order.work)
    told: Mapping[str, object] = {"chosen": mine.named, "best": rival.named, "candidates": len(every)}
    ours, theirs, plain = final
    return [
        Figure(
            f"(f) {name}: time of auto's choice", ours, theirs, "ms", "exhaustive search's", "1.03 or less", dict(told)
        ),
        Figure(f"(f) {name}: time of auto's choice", ours, plain, "ms", "plain ONNX Runtime's", "1.00 or less"),
        Figure(f"(f) {name}: cost of auto", [ours_s], [theirs_s], "s", "exhaustive search's", "0.50 or less"),
    ]


def _order(name: str, found: Found, folder: Path) -> Order:
    work = Path(tempfile.mkdtemp(dir=folder))
    model = work / "model" / "model.onnx"
    model.parent.mkdir()
    shutil.copy(light_model(name.removeprefix("light_")) if name.startswith("light_") else model_path(name), model)
    dataset = None
    options: dict[str, object] = {"budget_s": 600}
    if name in SAMPLED:
        dataset = work / "dataset.npz"
        arrays: dict[str, Any] = SAMPLED[name]()
        np.savez(dataset, **arrays)
    else:
        options["calibration"] = "generated"
    target = Target(backend=AUTO, precision=Precision.AUTO, options=options)
    return Order(
        recipe=Recipe(model="0" * 64, dataset="0" * 64 if dataset else None, target=target),
        signature=inspect_model([("model.onnx", model)]),
        model=model,
        dataset=dataset,
        dataset_name="samples@1" if dataset else None,
        work=work,
        hardware=found.hardware,
        threads=found.threads,
        backends=tuple(one.backend for one in found.capabilities if one.backend != AUTO),
    )


def _emptied(order: Order) -> Order:
    shutil.rmtree(order.bundle)
    shutil.rmtree(order.work / "onnx", ignore_errors=True)
    return order


def _exhaustive(order: Order) -> tuple[list[Trial], list[Candidate]]:
    """Everything that ``auto`` may choose from, each timed for as long."""
    options = AutoOptions.model_validate(order.recipe.target.options)
    wanted, _ = candidates(options, Format(order.signature.format), order.backends, order.dataset is not None)
    trials = [
        try_out(order, target, number, 600, timed_s=TIMED_S, samples=None) for number, target in enumerate(wanted)
    ]
    racing = _entrants(order, trials)
    return trials, raced(order, racing, TIMED_S * len(racing), finalists=len(racing))


def _entrants(order: Order, trials: list[Trial]) -> list[Entrant]:
    return [each for one in trials if one.manifest is not None for each in entrants(order, one)]


def _side_by_side(order: Order, trials: list[Trial], chosen: list[Candidate]) -> list[list[float]]:
    """Medians of several rounds, milliseconds, of the chosen ones and plain ONNX Runtime, in turns."""
    wanted = [*(one.target for one in chosen), ANCHOR]
    every = _entrants(order, trials)
    racing = [next(each for each in every if each.candidate.target == target) for target in wanted]
    times: list[list[float]] = [[] for _ in wanted]
    for _ in range(ROUNDS):
        rows = raced(order, racing, TIMED_S, finalists=len(racing))
        for place, target in enumerate(wanted):
            times[place].append(next(one.p50_ms or 0.0 for one in rows if one.target == target))
    return times
