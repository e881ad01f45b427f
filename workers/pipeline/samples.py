"""What a build's model is looked at with: the dataset or seeded inputs, and the reference that runs them.

Nothing is loaded before it is asked for: a build that neither calibrates nor verifies starts no runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from enginehouse.errors import DatasetRequired, DatasetTooSmall
from enginehouse.quantization import FEWEST_SAMPLES
from enginehouse.report import Calibration
from workers.backends.base import Array, Arrays
from workers.backends.workpiece import Source
from workers.pipeline.order import Order

if TYPE_CHECKING:
    from workers.pipeline.sides import Side
    from workers.pipeline.verify import Cases

Fed = Callable[[Arrays], tuple[Arrays, Arrays]]
"""A sample to what the artifact is fed with, and what the source model is."""

_MOST_GENERATED = 32
_FIRST_GENERATED = 1000
"""Seeds of made-up calibration inputs begin here: what verifies is never what calibrated."""


def alike(feeds: Arrays) -> tuple[Arrays, Arrays]:
    """Both are fed with the same."""
    return feeds, feeds


class OrderSamples:
    """The samples of one order (``workers.backends.workpiece.Samples``), its reference, and its verification cases."""

    def __init__(self, order: Order, source: Source, threads: int) -> None:
        self._order = order
        self._source = source
        self._threads = threads
        self.fed: Fed = alike
        """how the artifact is fed with a sample, where that differs from the source model"""

    @cached_property
    def reference(self) -> Side:
        """The source model in its own framework. Raises ReferenceFailed."""
        from workers.pipeline.sides import load_reference

        return load_reference(self._source, self._threads, self._order.work)

    @cached_property
    def cases(self) -> Cases:
        """Inputs with the reference's outputs. Raises ReferenceFailed, DatasetMismatch."""
        from workers.pipeline.verify import prepare_cases

        return prepare_cases(self._order, self.reference, self.fed)

    def typical(self) -> Sequence[Arrays]:
        """See Samples."""
        return self.cases.feeds

    def labels(self) -> Array | None:
        """See Samples."""
        from workers.pipeline.dataset import read_labels

        return None if self._order.dataset is None else read_labels(self._order.dataset)

    def calibration(self, count: int, generated: bool) -> tuple[Calibration, Sequence[Arrays]]:
        """See Samples."""
        from workers.pipeline.dataset import read_samples

        order = self._order
        feeds: Sequence[Arrays]
        if order.dataset is not None:
            feeds = read_samples(order.dataset, order.signature.inputs, count)
            if len(feeds) < FEWEST_SAMPLES:
                raise DatasetTooSmall(f"calibration needs {FEWEST_SAMPLES} samples, the dataset has {len(feeds)}")
            origin = f"dataset {order.dataset_name or order.recipe.dataset}"
        elif generated:
            feeds = self._generated(min(count, _MOST_GENERATED))
            origin = "generated"
        else:
            raise DatasetRequired(f"{order.recipe.target} is calibrated, and the job has no dataset")
        return Calibration(origin=origin, samples=len(feeds), method=""), feeds

    def _generated(self, count: int) -> list[Arrays]:
        from workers.pipeline.inputs import generate
        from workers.pipeline.verify import used_inputs

        order = self._order
        shapes = {name: array.shape for name, array in self.cases.feeds[0].items()}
        uses = used_inputs(self._source)
        return [
            generate(order.signature.inputs, shapes, uses, order.recipe.seed, _FIRST_GENERATED + index)
            for index in range(count)
        ]
