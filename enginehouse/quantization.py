"""Words about lower precision that every backend shares: how it quantises, and what it needs for that."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from enginehouse.targets import Precision

FEWEST_SAMPLES = 2
"""One sample gives ranges of one picture: what is calibrated with it is refused."""


class Quantization(StrEnum):
    """A backend's option 'quantization' takes those of these that it has."""

    STATIC = "static"
    """weights and activations, ranges from calibration samples"""
    ACCURACY = "accuracy"
    """static, but layers that cost too much accuracy go back to float"""
    DYNAMIC = "dynamic"
    """weights ahead, activations while it runs"""
    WEIGHTS = "weights"
    """weights only; computed in float"""


DATASET = "dataset"
GENERATED = "generated"
"""Values of the option 'calibration': the job's dataset, or seeded made-up inputs, marked as such everywhere."""

_CALIBRATED = (Precision.INT8, Precision.FP8)


def needs_dataset(precision: Precision, options: Mapping[str, Any]) -> bool:
    """Whether a target is calibrated with the job's dataset. ``options``: with the backend's defaults written out."""
    how = options.get("quantization")
    static = how in (Quantization.STATIC, Quantization.ACCURACY, None)
    return precision in _CALIBRATED and static and options.get("calibration", DATASET) != GENERATED
