"""Sizes for dynamic dimensions. Pure: the signature in, assignments to try out, best guess first.

Which sizes a model takes is not written in it (a detector wants multiples of 32, a recogniser a height of 48),
so the caller tries the assignments with the source model until one runs. Equal symbols get equal sizes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from enginehouse.errors import RequestError
from enginehouse.shapes import has_rank
from enginehouse.signature import TensorSpec

Shapes = dict[str, tuple[int, ...]]

_BATCH = re.compile(r"^(n|b|bs|batch.*|.*batch(_?size)?)$", re.IGNORECASE)
_STATE = re.compile(r"(^|_)(h|c|h0|c0|state|hidden|cell|cache|past|mem(ory)?)\d*(_|$|\.)", re.IGNORECASE)
_CHANNELS = (1, 2, 3, 4)

# Height and width in pairs: usual image sizes, all but the last ones multiples of 32.
_PLANES = ((224, 224), (320, 320), (256, 256), (64, 64), (640, 640), (32, 32), (48, 192), (299, 299), (28, 28), (1, 1))
_WIDTHS = (320, 192, 256, 128, 64, 32, 100, 1)
_LENGTHS = (16, 128, 512, 576, 64, 32, 256, 1024, 8, 4, 2, 1, 100, 1600, 16000)
_MOST = 120


class Kind(Enum):
    """What a dynamic dimension seems to count."""

    BATCH = "batch"
    PLANE = "plane"
    WIDTH = "width"
    LENGTH = "length"


@dataclass(frozen=True)
class Unknown:
    """A dynamic dimension: its symbol (its own where it has none) and what it seems to count."""

    symbol: str
    kind: Kind


def is_state(name: str) -> bool:
    """Whether an input's name says that it carries state from one step to the next."""
    return bool(_STATE.search(name))


def unknowns(inputs: Sequence[TensorSpec]) -> dict[str, Kind]:
    """Symbol to kind, in the order in which they occur."""
    found: dict[str, Kind] = {}
    for spec in sorted(inputs, key=lambda one: is_state(one.name)):
        for axis, dim in enumerate(spec.shape):
            if not _is_size(dim):
                found.setdefault(symbol(spec, axis), _kind(spec, axis))
    return found


def symbol(spec: TensorSpec, axis: int) -> str:
    """The dimension's symbol; one without a name is a symbol of its own."""
    dim = spec.shape[axis]
    return dim if isinstance(dim, str) and dim not in ("", "?") else f"{spec.name}[{axis}]"


def candidates(inputs: Sequence[TensorSpec], given: Mapping[str, Sequence[int]], batch: int = 1) -> Iterator[Shapes]:
    """Complete shapes to try, best guess first. ``given`` shapes win. Raises RequestError where one does not fit."""
    inputs = [_ranked(spec, given) for spec in inputs]
    fixed = _from_given(inputs, given)
    open_ = {name: kind for name, kind in unknowns(inputs).items() if name not in fixed}
    tried: set[tuple[tuple[str, int], ...]] = set()
    for sizes in itertools.islice(_assignments(open_, batch), _MOST):
        key = tuple(sorted(sizes.items()))
        if key not in tried:
            tried.add(key)
            yield _shapes(inputs, {**sizes, **fixed})


def _ranked(spec: TensorSpec, given: Mapping[str, Sequence[int]]) -> TensorSpec:
    """An input of unknown rank takes a given shape as it is."""
    if has_rank(spec) or spec.name not in given:
        return spec
    return spec.model_copy(update={"shape": list(given[spec.name])})


def _is_size(dim: int | str | None) -> bool:
    return isinstance(dim, int) and dim > 0


def _kind(spec: TensorSpec, axis: int) -> Kind:
    dim, rank = spec.shape[axis], len(spec.shape)
    if axis == 0 and rank > 1:
        return Kind.BATCH
    if (isinstance(dim, str) and _BATCH.match(dim)) or is_state(spec.name) or (rank == 1 and axis == 0):
        return Kind.BATCH
    if rank in (4, 5) and not (rank == 4 and spec.dtype.startswith("int")):
        last = spec.shape[-1]
        channels_last = isinstance(last, int) and last in _CHANNELS and not _is_size(spec.shape[1])
        plane = range(1, rank - 1) if channels_last else range(2, rank)
        if axis in plane:
            partners = [spec.shape[other] for other in plane if other != axis]
            return Kind.PLANE if not any(_is_size(partner) for partner in partners) else Kind.WIDTH
        return Kind.LENGTH
    return Kind.LENGTH


def _assignments(open_: Mapping[str, Kind], batch: int) -> Iterator[dict[str, int]]:
    of = {kind: [name for name, one in open_.items() if one is kind] for kind in Kind}
    base = dict.fromkeys(of[Kind.BATCH], batch)
    planes = _PLANES if of[Kind.PLANE] else (None,)
    widths = _WIDTHS if of[Kind.WIDTH] else (None,)
    lengths = _LENGTHS if of[Kind.LENGTH] else (None,)
    # All lengths alike first; then, for two and three of them, each with its own.
    for plane, width, length in _diagonal(planes, widths, lengths):
        sizes = dict(base)
        for index, name in enumerate(of[Kind.PLANE]):
            sizes[name] = plane[index % 2] if plane else 1
        sizes |= dict.fromkeys(of[Kind.WIDTH], width or 1)
        sizes |= dict.fromkeys(of[Kind.LENGTH], length or 1)
        yield sizes
    if 2 <= len(of[Kind.LENGTH]) <= 3:
        for combination in itertools.product((1, 16, 2, 32), repeat=len(of[Kind.LENGTH])):
            yield base | dict(zip(of[Kind.LENGTH], combination, strict=True))


def _diagonal(
    planes: Sequence[tuple[int, int] | None], widths: Sequence[int | None], lengths: Sequence[int | None]
) -> Iterator[tuple[tuple[int, int] | None, int | None, int | None]]:
    """All combinations, those of early guesses first."""
    indices = itertools.product(range(len(planes)), range(len(widths)), range(len(lengths)))
    for i, j, k in sorted(indices, key=sum):
        yield planes[i], widths[j], lengths[k]


def _from_given(inputs: Sequence[TensorSpec], given: Mapping[str, Sequence[int]]) -> dict[str, int]:
    specs = {spec.name: spec for spec in inputs}
    fixed: dict[str, int] = {}
    for name, shape in given.items():
        spec = specs.get(name)
        if spec is None:
            raise RequestError(f"shapes: the model has no input '{name}'", field="shapes", input=name)
        fits = len(shape) == len(spec.shape) and all(
            not _is_size(dim) or dim == size for dim, size in zip(spec.shape, shape, strict=True)
        )
        if not fits:
            raise RequestError(f"shapes: {list(shape)} does not fit '{name}' {spec.shape}", field="shapes", input=name)
        for axis, size in enumerate(shape):
            if not _is_size(spec.shape[axis]) and fixed.setdefault(symbol(spec, axis), size) != size:
                raise RequestError(f"shapes: '{symbol(spec, axis)}' has two sizes", field="shapes", input=name)
    return fixed


def _shapes(inputs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> Shapes:
    found: Shapes = {}
    for spec in inputs:
        dims = enumerate(spec.shape)
        found[spec.name] = tuple(
            dim if isinstance(dim, int) and dim > 0 else sizes[symbol(spec, axis)] for axis, dim in dims
        )
    return found
