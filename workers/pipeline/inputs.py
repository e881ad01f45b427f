"""Seeded, well-formed inputs: indices in range, masks open, lengths true, states at rest.

Equal (seed, signature, shapes) give equal arrays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from enginehouse.errors import ReferenceFailed
from enginehouse.signature import TensorSpec
from workers.backends.base import Array
from workers.pipeline.consumers import Use
from workers.pipeline.shapes import Shapes, is_state

_MASK = re.compile(r"mask", re.IGNORECASE)
_LENGTH = re.compile(r"(^|_)(len|length|lengths|lens|num_frames)s?(_|$)", re.IGNORECASE)
_RATE = re.compile(r"^(sr|sample_?rate|sampling_?rate)$", re.IGNORECASE)
_POSITION = re.compile(r"position", re.IGNORECASE)
_SMALL = 2  # values 0 and 1 are taken wherever nothing is known of an integer


def generate(
    inputs: Sequence[TensorSpec], shapes: Shapes, uses: Mapping[str, Use], seed: int, sample: int
) -> dict[str, Array]:
    """One sample. Raises ReferenceFailed for an element type that no numbers can be made for."""
    made: dict[str, Array] = {}
    for index, spec in enumerate(inputs):
        random = np.random.default_rng([seed, sample, index])
        made[spec.name] = _values(spec, shapes, uses.get(spec.name, Use()), random)
    return made


def _values(spec: TensorSpec, shapes: Shapes, use: Use, random: np.random.Generator) -> Array:
    shape = shapes[spec.name]
    try:
        kind = np.dtype(spec.dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind == np.bool_:
        return np.ones(shape, kind) if _MASK.search(spec.name) else random.integers(0, 2, shape).astype(kind)
    if np.issubdtype(kind, np.floating):
        return _floats(spec, shape, random).astype(kind)
    if np.issubdtype(kind, np.integer):
        return _integers(spec, shapes, use, random).astype(kind)
    raise ReferenceFailed(
        f"no inputs can be made up for '{spec.name}' of type {spec.dtype}",
        advice="Submit the job with a dataset, or without verification and benchmark.",
        input=spec.name,
    )


def _floats(spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if _MASK.search(spec.name):
        return np.ones(shape)
    if is_state(spec.name):
        return np.zeros(shape)
    if len(shape) >= 4:  # a picture: values from 0 to 1
        return random.random(shape)
    return random.standard_normal(shape)


def _integers(spec: TensorSpec, shapes: Shapes, use: Use, random: np.random.Generator) -> Array:
    shape = shapes[spec.name]
    if use.equals and not shape:  # a switch, such as a sample rate
        return np.asarray(use.equals[0])
    if _RATE.match(spec.name):
        return np.full(shape, 16000)
    if use.shape_like:
        return np.ones(shape, np.int64)
    if _MASK.search(spec.name):
        return np.ones(shape, np.int64)
    if _LENGTH.search(spec.name):
        return np.full(shape, max((other[1] for name, other in shapes.items() if len(other) > 1), default=1))
    if _POSITION.search(spec.name) and shape:
        below = min(use.below or shape[-1], shape[-1])
        return np.broadcast_to(np.arange(shape[-1]) % below, shape)
    if use.below is not None:
        return random.integers(0, max(use.below, 1), shape)
    if spec.dtype in ("uint8", "int8"):
        return random.integers(0, 128, shape)
    return random.integers(0, _SMALL, shape)
