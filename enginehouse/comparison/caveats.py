"""Why numbers of different builds must not be judged side by side, in sentences."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from enginehouse.bundle import canonical_json
from enginehouse.comparison.views import Side, Subject


def latency_caveats(subjects: Sequence[Subject], sides: Sequence[Side]) -> list[str]:
    """Times depend on the model, the machine, the threads and the shapes."""
    found = _models(subjects)
    if _differ([side.hardware_class for side in sides]):
        found.append("the builds were timed on different hardware")
    timed = [(side.label, subject.report.benchmark) for side, subject in zip(sides, subjects, strict=True)]
    benchmarks = [benchmark for _, benchmark in timed if benchmark]
    if _differ([benchmark.threads for benchmark in benchmarks]):
        found.append("the builds were timed with different numbers of threads")
    if _differ([len(benchmark.affinity) for benchmark in benchmarks]):
        found.append("the builds were timed on different numbers of cores")
    if _differ([canonical_json(benchmark.shapes) for benchmark in benchmarks]):
        found.append("the builds were timed with inputs of different shapes")
    for label, benchmark in timed:
        if benchmark and benchmark.disturbed:
            found.append(f"the benchmark of {label} was disturbed: {benchmark.disturbance}")
        if benchmark and benchmark.steady is False:
            found.append(f"the latencies of {label} never became steady")
    return found


def accuracy_caveats(subjects: Sequence[Subject]) -> list[str]:
    """Errors depend on the model, the samples and the reference."""
    found = _models(subjects)
    proofs = [(subject.recipe, proof) for subject in subjects if (proof := subject.report.verification)]
    samples = [
        (recipe.dataset, recipe.dataset is None and recipe.seed, proof.samples, canonical_json(proof.shapes))
        for recipe, proof in proofs
    ]
    if _differ(samples):
        found.append("the builds were verified on different samples")
    if _differ([proof.reference for _, proof in proofs]):
        found.append("the builds were verified against different references")
    return found


def _models(subjects: Sequence[Subject]) -> list[str]:
    return ["the builds are of different models"] if _differ([subject.recipe.model for subject in subjects]) else []


def _differ(values: Sequence[Hashable]) -> bool:
    return len(set(values)) > 1
