"""Resizing along one axis with NumPy, as OpenVINO's pre-processing defines it.

Pixels are squares: the centre of pixel i of m lies at (i + 0.5)·n/m - 0.5 of n (``half_pixel``); what lies outside is
the nearest pixel; nothing is blurred before it is made smaller. Cubic is Keys' kernel with a = -0.75
(R. Keys, "Cubic convolution interpolation for digital image processing", 1981).
"""

from __future__ import annotations

import numpy as np

from workers.backends.base import Array

_A = -0.75


def resized(values: Array, axis: int, length: int, how: str) -> Array:
    """``values`` (any shape) with ``axis`` brought to ``length``. ``how``: linear, cubic or nearest."""
    size = values.shape[axis]
    centres = (np.arange(length) + 0.5) * (size / length) - 0.5
    if how == "nearest":  # a half is rounded down
        nearest: Array = np.take(values, np.clip(np.ceil(centres - 0.5).astype(int), 0, size - 1), axis)
        return nearest
    first = np.floor(centres).astype(int)
    reach = (0, 1) if how == "linear" else (-1, 0, 1, 2)
    shape = [1] * values.ndim
    shape[axis] = length
    total: Array = np.zeros_like(np.take(values, np.zeros(length, int), axis))
    for step in reach:
        weights = _weight(np.abs(centres - (first + step)), how).reshape(shape)
        total = total + np.take(values, np.clip(first + step, 0, size - 1), axis) * weights
    return total


def _weight(distance: Array, how: str) -> Array:
    if how == "linear":
        return np.maximum(0.0, 1.0 - distance)
    near = (_A + 2) * distance**3 - (_A + 3) * distance**2 + 1
    far = _A * distance**3 - 5 * _A * distance**2 + 8 * _A * distance - 4 * _A
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
