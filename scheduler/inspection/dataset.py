"""What a dataset holds: its kind, its samples, each input's type, shape and numbers."""

from __future__ import annotations

from pathlib import Path

from enginehouse.datasets import LABELS, DatasetContents
from enginehouse.errors import DatasetUnreadable
from samples import open_dataset
from scheduler.inspection.statistics import statistics
from scheduler.inspection.text import clean

_LONGEST_NAME = 500


def read_dataset(path: Path, max_bytes: int) -> DatasetContents:
    """Look at every sample's header, and at the values of as many samples as time allows (``Dataset.looked_at``).

    ``max_bytes``: largest unpacked size. Raises DatasetUnreadable, DatasetNotFinite or TooLarge.
    """
    dataset = open_dataset(path, max_bytes)
    for name in dataset.names:
        if clean(name, _LONGEST_NAME) != name:
            raise DatasetUnreadable(f"'{clean(name)}' is not the name of an input")
    inputs = dataset.inputs()
    samples = dataset.looked_at()
    named = [*dataset.names, *([LABELS] if dataset.labelled else [])]
    return DatasetContents(
        kind=dataset.kind,
        samples=dataset.samples,
        inputs=inputs,
        statistics={name: statistics(name, dataset.pieces(name, samples), samples) for name in named},
    )
