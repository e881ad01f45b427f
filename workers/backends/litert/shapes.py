"""Which sizes a .tflite file takes: as open as the source's, or fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.errors import BoundsRequired
from enginehouse.shapes import has_rank
from enginehouse.signature import TensorSpec
from workers.backends.workpiece import Workpiece
from workers.pipeline.shapes import Kind, symbol, unknowns

Open = dict[str, list[int | None]]
"""Input name to sizes; None for one that stays open."""


def open_shapes(inputs: Sequence[TensorSpec]) -> Open:
    """The source's own."""
    return {spec.name: [dim if isinstance(dim, int) and dim > 0 else None for dim in spec.shape] for spec in inputs}


def is_open(shapes: Open) -> bool:
    """Whether any size is."""
    return any(None in dims for dims in shapes.values())


def fixed(piece: Workpiece, guess: bool) -> Open:
    """Every size fixed: the job's shapes, else the first profile's usual ones, else a batch of 1.

    ``guess``: for what is left, sizes of a sample that the source model runs on. Else raises BoundsRequired.
    """
    inputs = piece.source.signature.inputs
    given: dict[str, Sequence[int]] = {}
    if piece.profiles:
        given = {name: range_.opt for name, range_ in piece.profiles[0].items()}
    given |= piece.shapes
    if guess and any(spec.is_dynamic() and spec.name not in given for spec in inputs):
        given = {name: array.shape for name, array in piece.samples.typical()[0].items()} | given
    inputs = [_ranked(spec, given) for spec in inputs]
    sizes = _sizes(inputs, given)
    missing = [spec.name for spec in inputs if not has_rank(spec)]
    missing += [
        f"{spec.name}[{axis}]" + (f" {dim}" if isinstance(dim, str) else "")
        for spec in inputs
        if has_rank(spec)
        for axis, dim in enumerate(spec.shape)
        if not _is_size(dim) and symbol(spec, axis) not in sizes
    ]
    if missing:
        raise BoundsRequired(
            f"the model does not convert to TensorFlow Lite with open dimensions; give sizes for {', '.join(missing)}",
            advice="Give 'shapes' or profiles for the named dimensions, or the option reshape=static, which takes "
            "those of a sample.",
            dimensions=missing,
        )
    return {
        spec.name: [
            dim if isinstance(dim, int) and dim > 0 else sizes[symbol(spec, axis)]
            for axis, dim in enumerate(spec.shape)
        ]
        for spec in inputs
    }


def _ranked(spec: TensorSpec, given: Mapping[str, Sequence[int]]) -> TensorSpec:
    """An input of unknown rank takes a given shape as it is."""
    if has_rank(spec) or spec.name not in given:
        return spec
    return spec.model_copy(update={"shape": list(given[spec.name])})


def _is_size(dim: int | str | None) -> bool:
    return isinstance(dim, int) and dim > 0


def _sizes(inputs: Sequence[TensorSpec], given: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Symbol to size, as far as it is known."""
    found = {name: 1 for name, kind in unknowns(inputs).items() if kind is Kind.BATCH}
    for spec in inputs:
        for axis, size in enumerate(given.get(spec.name, ())):
            if axis < len(spec.shape) and not _is_size(spec.shape[axis]):
                found[symbol(spec, axis)] = int(size)
    return found


def settle(graph: Any, indices: Sequence[int], shapes: Sequence[Sequence[int]]) -> None:
    """Write sizes into a subgraph's tensors in place of open ones; what lies between is worked out while loading."""
    for index, shape in zip(indices, shapes, strict=True):
        graph.tensors[index].shape = list(shape)
        graph.tensors[index].shapeSignature = None


def text(shapes: Open) -> str:
    """For people."""
    return ", ".join(f"{name} {dims}" for name, dims in shapes.items())
