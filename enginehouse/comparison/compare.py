"""The comparison itself: its parts put together."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from enginehouse.comparison.caveats import accuracy_caveats, latency_caveats
from enginehouse.comparison.differences import differences, environment_of
from enginehouse.comparison.layers import layer_diff
from enginehouse.comparison.metrics import metrics
from enginehouse.comparison.views import Comparison, Side, Subject


def compare(subjects: Sequence[Subject]) -> Comparison:
    """Two to MOST_COMPARED builds; the first is the base."""
    sides = [_side(subject, label) for subject, label in zip(subjects, ascii_uppercase, strict=False)]
    latency, accuracy = latency_caveats(subjects, sides), accuracy_caveats(subjects)
    base = subjects[0].report.layers
    return Comparison(
        builds=sides,
        request=differences([subject.recipe.model_dump(mode="json") for subject in subjects]),
        environment=differences([environment_of(subject) for subject in subjects]),
        same_hardware=len({side.hardware_class for side in sides}) == 1,
        latency_caveats=latency,
        accuracy_caveats=accuracy,
        metrics=metrics([subject.report for subject in subjects], judge_times=not latency, judge_errors=not accuracy),
        layers=[
            layer_diff(base, subject.report.layers, side)
            for subject, side in zip(subjects[1:], sides[1:], strict=True)
            if base and subject.report.layers
        ],
    )


def _side(subject: Subject, label: str) -> Side:
    verification = subject.report.verification
    return Side(
        label=label,
        build=subject.build,
        artifact=subject.artifact,
        model=subject.recipe.model,
        target=subject.manifest.target,
        hardware_class=subject.manifest.hardware_class,
        agrees=verification.agrees if verification else None,
    )
