"""Pruning: weights set to zero before anything is compiled."""

from __future__ import annotations

from pathlib import Path

from enginehouse.errors import ConversionFailed
from enginehouse.report import Pruning
from workers.backends.workpiece import Source


def prune(source: Source, pattern: str, share: float, work: Path) -> tuple[Source, Pruning]:
    """The ONNX model with weights pruned, and what was zeroed."""
    raise ConversionFailed(f"{pattern} pruning of {share} of {source.path} in {work}")
