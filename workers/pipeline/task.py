"""What the model is for, measured: labels give top-1 and top-5, a job gives a metric of its own.

Source model and artifact see the same samples, one at a time; of neither is more than one sample's outputs held.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from enginehouse.report import TaskMetric
from workers.backends.base import Array, Arrays
from workers.pipeline.compare import arrays_of
from workers.pipeline.dataset import read_labels, read_samples
from workers.pipeline.metric_run import Collected
from workers.pipeline.order import Order
from workers.pipeline.samples import Fed
from workers.pipeline.sides import Side

MOST_SAMPLES = 10_000
_LONGEST_S = 600.0
_FEWEST = 64
_TOP = 5


@dataclass
class Hits:
    """How often one side's output has the label's class first, and among its first five."""

    output: str
    rows: int = 0
    first: int = 0
    within: int = 0

    def add(self, scores: Array, labels: Array) -> None:
        """One sample: [..., classes], and a label for each row. A negative label is none."""
        rows = np.asarray(scores, np.float64).reshape(-1, scores.shape[-1])
        wanted = labels.ravel()
        rows, wanted = rows[wanted >= 0], wanted[wanted >= 0]
        if not wanted.size:
            return
        own = rows[np.arange(len(rows)), wanted]
        known = np.isfinite(rows).all(axis=1)
        # A tie goes to the lower number, as argmax has it.
        ahead = (rows > own[:, None]).sum(axis=1)
        ahead += ((rows == own[:, None]) & (np.arange(rows.shape[1]) < wanted[:, None])).sum(axis=1)
        self.rows += len(rows)
        self.first += int(np.count_nonzero(known & (ahead < 1)))
        self.within += int(np.count_nonzero(known & (ahead < _TOP)))


def measure_task(order: Order, artifact: Side, reference: Side, fed: Fed) -> list[TaskMetric]:
    """The metrics that the dataset's labels and the job's own metric give; none without them. Raises MetricFailed."""
    own = order.recipe.metric
    labels = None if order.dataset is None else read_labels(order.dataset)
    if order.dataset is None or (labels is None and own is None):
        return []
    hits: tuple[Hits, Hits] | None = None
    kept = [Collected(order.work / f"metric-{side}") for side in ("source", "artifact")] if own else []
    numbers: list[int] = []
    for number, theirs, mine in _both(order, artifact, reference, fed):
        if not numbers and labels is not None:
            output = scored(theirs, labels)
            hits = None if output is None else (Hits(output), Hits(output))
        numbers.append(number)
        if hits is not None and labels is not None:
            for side, outputs in zip(hits, (theirs, mine), strict=True):
                side.add(outputs[side.output], labels[number])
        for collected, outputs in zip(kept, (theirs, mine), strict=bool(kept)):
            collected.add(outputs)
    found = _from_hits(hits, len(numbers)) if hits is not None else []
    if own is not None and numbers:
        seen = None if labels is None else labels[numbers]
        source, reached = (collected.value(own, seen) for collected in kept)
        found.append(row(own.name, source, reached, len(numbers), higher_is_better=own.higher_is_better))
    for one in found:
        text = f"{one.name}: {one.artifact:.6g}, the source model's {one.source:.6g} ({one.samples} samples)"
        print(text, flush=True)  # noqa: T201 - standard output is the build's log
    return found


def scored(outputs: Arrays, labels: Array) -> str | None:
    """The one output that scores what the labels name: one row of at least two classes for each of a sample's labels.

    None where there is none, or more than one.
    """
    if not np.issubdtype(labels.dtype, np.integer) or not labels.size:
        return None
    each, largest = labels[0].size, int(labels.max())
    fits = [
        name
        for name, array in outputs.items()
        if np.issubdtype(array.dtype, np.floating)
        and array.ndim
        and array.shape[-1] > max(1, largest)
        and array.size == each * array.shape[-1]
    ]
    return fits[0] if len(fits) == 1 else None


def row(name: str, source: float, artifact: float, samples: int, *, higher_is_better: bool = True) -> TaskMetric:
    """A metric of both sides with what the artifact loses."""
    loss = source - artifact if higher_is_better else artifact - source
    return TaskMetric(
        name=name,
        source=source,
        artifact=artifact,
        loss=loss,
        relative_loss=loss / abs(source) if source else None,
        samples=samples,
        higher_is_better=higher_is_better,
    )


def _from_hits(hits: tuple[Hits, Hits], samples: int) -> list[TaskMetric]:
    source, mine = hits
    if not source.rows:
        return []
    return [
        row("top1", source.first / source.rows, mine.first / mine.rows, samples),
        row("top5", source.within / source.rows, mine.within / mine.rows, samples),
    ]


def _both(
    order: Order, artifact: Side, reference: Side, fed: Fed
) -> Iterator[tuple[int, dict[str, Array], dict[str, Array]]]:
    """Number, source's outputs and artifact's, of the samples that the artifact takes, until the time is over."""
    assert order.dataset is not None
    until = time.monotonic() + _LONGEST_S
    for number, feeds in enumerate(read_samples(order.dataset, order.signature.inputs, MOST_SAMPLES)):
        if number >= _FEWEST and time.monotonic() > until:
            return
        mine, theirs = fed(feeds)
        if artifact.session.takes(mine):
            yield number, arrays_of(reference.run(theirs)), arrays_of(artifact.run(mine))
