"""The stages in their order. What a recipe does not ask for is skipped, and the runtime is then never loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from enginehouse.bundle import Manifest
from enginehouse.exploration import Exploration
from enginehouse.formats import Format
from enginehouse.report import Layer, LossyLayer, PhaseTiming, Report, TaskMetric
from enginehouse.states import Phase
from workers.backends import get
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline.baselines import Built, build_baselines, measure_baselines
from workers.pipeline.intermediate import verify_intermediate
from workers.pipeline.layers import source_nodes, with_shares, without_layer
from workers.pipeline.order import Order
from workers.pipeline.package import package
from workers.pipeline.reproduce import write_script
from workers.pipeline.samples import OrderSamples
from workers.pipeline.source import check_external_data

Tell = Callable[[Phase], None]


@dataclass(frozen=True)
class Result:
    """What a build leaves: the bundle's files lie in the order's folder."""

    manifest: Manifest
    report: Report


@dataclass
class _Clock:
    """Tells each phase as it begins and keeps how long it took."""

    tell: Tell
    phases: list[PhaseTiming] = field(default_factory=list)

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        self.tell(phase)
        begin = time.perf_counter()
        yield
        seconds = time.perf_counter() - begin
        self.phases.append(PhaseTiming(phase=phase, seconds=round(seconds, 4)))
        print(f"{phase}: {seconds:.3f} s", flush=True)  # noqa: T201 - standard output is the build's log


def run(
    order: Order,
    tell: Tell = lambda _: None,
    explored: Exploration | None = None,
    baselines: Sequence[Built] | None = None,
) -> Result:
    """Build. Raises the errors of the backend and of each stage; disagreeing outputs are reported, not raised.

    ``explored``: what the target was chosen from, for the report. ``baselines``: the recipe's, where they are built.
    """
    recipe = order.recipe
    target = recipe.target
    backend = get(target.backend)
    options = backend.check(target, order.signature.format)
    source = Source(order.model, order.signature)
    threads = getattr(options, "threads", None) or order.threads
    samples = OrderSamples(order, source, threads)
    piece = Workpiece(
        source=source,
        target=target,
        options=options,
        work=order.work,
        samples=samples,
        threads=threads,
        shapes=recipe.shapes,
        profiles=recipe.profiles,
        hardware_class=order.hardware.hardware_class,
        made_onnx=order.made_onnx,
    )
    samples.fed = partial(backend.fed, piece)
    clock = _Clock(tell)
    if baselines is None and recipe.benchmark and recipe.against():
        with clock.phase(Phase.BASELINES):
            baselines = build_baselines(order)
    print(f"building {target} with {backend.toolchain()}", flush=True)  # noqa: T201
    script = write_script(order, backend, piece)

    with clock.phase(Phase.IMPORT):
        if source.format is Format.ONNX:
            check_external_data(order.model)
        model = backend.read(piece)
    with clock.phase(Phase.PREPARE):
        model = backend.prepare(piece, model)
        saved = backend.save(piece, model, order.bundle)
        del model
        script = write_script(order, backend, piece)  # again, with what is known by now
    verification = benchmark = intermediate = None
    metrics: list[TaskMetric] = []
    lossy: list[LossyLayer] = []
    settings: dict[str, object] = dict(saved.settings)
    layers: list[Layer] = []
    removed: list[str] = []
    if recipe.verify or recipe.benchmark:
        # Only now: these load ONNX Runtime and start the backend's runtime, which a conversion does without.
        from workers.pipeline.footprint import weigh
        from workers.pipeline.measure import measure
        from workers.pipeline.mixed import Made, mended
        from workers.pipeline.sides import load_artifact
        from workers.pipeline.task import measure_task
        from workers.pipeline.verify import verify

        with clock.phase(Phase.COMPILE):
            artifact = load_artifact(backend, saved, options, threads)
            reference = samples.reference
        with clock.phase(Phase.VERIFY):
            cases = samples.cases
            cases.keep(artifact.session.takes)
            if recipe.verify:
                intermediate = verify_intermediate(order, cases, piece)
                made = mended(order, backend, cases, Made(piece, saved, artifact, verify(order, cases, artifact)))
                if made.piece is not piece:
                    script = write_script(order, backend, made.piece)
                piece, saved, artifact, verification = made.piece, made.saved, made.side, made.verification
                lossy = made.lossy
                if order.most_samples is None:  # of a few samples a metric says nothing
                    metrics = measure_task(order, artifact, reference, samples.fed)
        if recipe.benchmark:
            with clock.phase(Phase.BENCHMARK):
                benchmark = measure(order, artifact, reference, cases, threads, options)
                benchmark.others = measure_baselines(order, artifact, piece, cases, threads, baselines or ())
        settings |= artifact.session.settings()
        artifact.close()
        reference.close()
        if benchmark is not None and order.memory:
            weigh(order, benchmark, cases, threads, saved)
        if order.layers:
            with clock.phase(Phase.EXPLAIN):
                layers = with_shares(backend.explain(piece, saved, threads, cases.fed[0]))
                removed = without_layer(source_nodes(piece), layers)
    with clock.phase(Phase.PACKAGE):
        notes = piece.notes
        report = Report(
            model=recipe.model,
            target=str(target),
            size=sum((saved.folder / name).stat().st_size for name in saved.files),
            verification=verification,
            metrics=metrics,
            benchmark=benchmark,
            layers=layers,
            removed=removed,
            route=[str(source.format), *(["onnx"] if piece.went_through_onnx else []), *notes.route],
            intermediate=intermediate,
            exploration=explored,
            lossy_layers=lossy,
            calibration=notes.calibration,
            pruning=notes.pruning,
            kept_float=notes.kept_float,
            notes=notes.sentences,
            phases=list(clock.phases),
        )
        manifest = package(order, backend, saved, report, settings, script)
    return Result(manifest, report)
