"""The stages in their order. What a recipe does not ask for is skipped, and the runtime is then never loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from enginehouse.bundle import Manifest
from enginehouse.report import Layer, PhaseTiming, Report
from enginehouse.states import Phase
from workers.backends import get
from workers.backends.base import Source
from workers.pipeline.machine import Cores
from workers.pipeline.order import Order
from workers.pipeline.package import package
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


def run(order: Order, tell: Tell = lambda _: None) -> Result:
    """Build. Raises the errors of the backend and of each stage; disagreeing outputs are reported, not raised."""
    with Cores(order.cores_lock) as shared:
        return _run(order, tell, shared)


def _run(order: Order, tell: Tell, shared: Cores) -> Result:
    recipe = order.recipe
    target = recipe.target
    backend = get(target.backend)
    options = backend.check(target, order.signature.format)
    source = Source(order.model, order.signature)
    threads = getattr(options, "threads", None) or order.threads
    clock = _Clock(tell)
    print(f"building {target} with {backend.toolchain()}", flush=True)  # noqa: T201

    with clock.phase(Phase.IMPORT):
        check_external_data(order.model)
        model = backend.read(source, options, order.work)
    with clock.phase(Phase.PREPARE):
        model = backend.prepare(source, model, target.precision, options, order.work)
        saved = backend.save(source, model, target.precision, order.bundle)
        del model
    verification = benchmark = None
    settings: dict[str, object] = {}
    layers: list[Layer] = []
    if recipe.verify or recipe.benchmark:
        # Only now: these load ONNX Runtime and start the backend's runtime, which a conversion does without.
        from workers.pipeline.measure import measure
        from workers.pipeline.sides import load_artifact, load_reference
        from workers.pipeline.verify import prepare_cases, verify

        with clock.phase(Phase.COMPILE):
            artifact = load_artifact(backend, saved, options, threads)
            reference = load_reference(source, threads)
        with clock.phase(Phase.VERIFY):
            cases = prepare_cases(order, reference)
            if recipe.verify:
                verification = verify(order, cases, artifact)
        if recipe.benchmark:
            with clock.phase(Phase.BENCHMARK):
                benchmark = measure(order, shared, artifact, reference, cases.feeds[0], threads)
        settings = artifact.session.settings()
        artifact.close()
        reference.close()
        with clock.phase(Phase.EXPLAIN):
            layers = backend.explain(source, saved, options, threads, cases.feeds[0])
    with clock.phase(Phase.PACKAGE):
        report = Report(
            model=recipe.model,
            target=str(target),
            size=sum((saved.folder / name).stat().st_size for name in saved.files),
            verification=verification,
            benchmark=benchmark,
            layers=layers,
            phases=list(clock.phases),
        )
        manifest = package(order, backend, saved, report, settings)
    return Result(manifest, report)
