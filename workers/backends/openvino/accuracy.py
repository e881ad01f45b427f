"""How good a compiled model is on samples: top-1 accuracy against labels, else agreement with the float model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workers.backends.base import Array, Arrays, as_fed
from workers.backends.openvino.options import TOP_1

Item = tuple[int, Arrays]
"""A sample's number and its inputs."""

Run = Callable[[Arrays], list[Array]]
"""One inference: inputs to the outputs in order."""


@dataclass
class Metric:
    """The measure that accuracy control keeps. ``labels``: the class of each sample, or None.

    Agreement of a sample is the mean over the outputs of the cosine between them and the float model's (for integers
    and booleans: the share of equal elements), so the float model's own is 1.
    """

    labels: Sequence[int] | None = None
    expected: dict[int, list[Array]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In words."""
        return TOP_1 if self.labels is not None else "agreement with the float model"

    def remember(self, run: Run, items: Iterable[Item]) -> None:
        """Keep the float model's outputs, where there are no labels."""
        if self.labels is None:
            self.expected = {number: run(feeds) for number, feeds in items}

    def __call__(self, run: Run, items: Iterable[Item]) -> tuple[float, list[float]]:
        """The mean over the samples, and each sample's own, 0 to 1 (agreement may be negative)."""
        each = [self._one(number, run(feeds)) for number, feeds in items]
        return float(np.mean(each)), each

    def _one(self, number: int, outputs: list[Array]) -> float:
        if self.labels is not None:
            return float(int(np.argmax(outputs[0])) == int(self.labels[number]))
        return float(
            np.mean([agreement(mine, true) for mine, true in zip(outputs, self.expected[number], strict=True)])
        )


def agreement(mine: Array, true: Array) -> float:
    """Cosine of two float arrays of any shape, where ``true`` is finite; share of equal elements of other arrays."""
    if not np.issubdtype(true.dtype, np.floating):
        return float(np.mean(mine == true)) if true.size else 1.0
    known = np.isfinite(true)
    a, b = mine[known].astype(np.float64), true[known].astype(np.float64)
    if not np.isfinite(a).all():
        return 0.0
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if length == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return float(a @ b) / length


def runner(compiled: Any) -> Run:
    """Inferences of a compiled ov.Model."""
    request = compiled.create_infer_request()
    taken = {name for port in compiled.inputs for name in port.get_names()}

    def run(feeds: Arrays) -> list[Array]:
        results = request.infer({name: as_fed(one) for name, one in feeds.items() if name in taken}, share_inputs=True)
        return [np.array(results[index]) for index in range(len(compiled.outputs))]

    return run


def classes(model: Any, labels: Array | None) -> list[int] | None:
    """The class of each sample, where that is what the labels are: one integer each, and the one output scores them.

    Scores are [classes] or [1, classes].
    """
    if labels is None or len(model.outputs) != 1 or not np.issubdtype(labels.dtype, np.integer):
        return None
    shape = model.outputs[0].get_partial_shape()
    if labels.size != len(labels) or shape.rank.is_dynamic or len(shape) not in (1, 2):
        return None
    scores = shape[len(shape) - 1]
    fits = scores.is_static and labels.min() >= 0 and labels.max() < scores.get_length()
    return [int(label) for label in labels.ravel()] if fits else None
