"""A dataset's file, read sample by sample: the same way when the farm inspects it and when a worker uses it.

A leaf that both sides import: it knows the vocabulary, NumPy and Pillow, and nothing else of ours.
"""

from __future__ import annotations

from samples.dataset import Dataset, Piece, open_dataset

__all__ = ["Dataset", "Piece", "open_dataset"]
