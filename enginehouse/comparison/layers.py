"""Layers of two builds, matched by the source nodes that they stand for: names are each runtime's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from enginehouse.comparison.views import Change, ComparedLayer, LayerChange, LayerDiff, Side
from enginehouse.report import Layer

_PRECISIONS = {
    said: precision
    for precision, names in {
        "fp32": "f32 float float32",
        "fp16": "f16 half float16",
        "bf16": "bfloat16",
        "int8": "i8 u8 uint8",  # of eight bits a kernel does not always tell the sign
        "int4": "i4 u4 uint4",
        "int32": "i32",
        "int64": "i64",
        "bool": "boolean",
    }.items()
    for said in names.split()
}


def layer_diff(base: Sequence[Layer], other: Sequence[Layer], side: Side) -> LayerDiff:
    """Groups of layers that share source nodes, directly or through one another, in the base's order."""
    groups = _groups([*base, *other])
    changes = [
        _change(
            [base[index] for index in group if index < len(base)],
            [other[index - len(base)] for index in group if index >= len(base)],
        )
        for group in groups
    ]
    counts = Counter(change.change for change in changes)
    return LayerDiff(
        build=side.build, label=side.label, counts={change: counts[change] for change in Change}, changes=changes
    )


def precision_of(layer: Layer) -> str:
    """The layer's precision in the words of targets: each runtime has its own for the same thing."""
    said = layer.precision.lower()
    return _PRECISIONS.get(said, said)


def nodes_of(layer: Layer) -> list[str]:
    """The source nodes of a layer; one that names none is taken to be the node of its name."""
    return layer.fused or [layer.name]


def _groups(layers: Sequence[Layer]) -> list[list[int]]:
    """Indexes of layers that are connected by nodes (union-find)."""
    parent = list(range(len(layers)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    first: dict[str, int] = {}
    for index, layer in enumerate(layers):
        for node in nodes_of(layer):
            one, two = sorted((root(index), root(first.setdefault(node, index))))
            parent[two] = one
    groups: dict[int, list[int]] = {}
    for index in range(len(layers)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _change(base: list[Layer], other: list[Layer]) -> LayerChange:
    before, after = _time(base), _time(other)
    return LayerChange(
        change=_kind(base, other),
        nodes=list(dict.fromkeys(node for layer in (*base, *other) for node in nodes_of(layer))),
        base=[_compared(layer) for layer in base],
        other=[_compared(layer) for layer in other],
        base_us=before,
        other_us=after,
        delta_us=None if before is None or after is None else round(after - before, 3),
    )


def _kind(base: list[Layer], other: list[Layer]) -> Change:
    if not other:
        return Change.ONLY_BASE
    if not base:
        return Change.ONLY_OTHER
    fusion = [Counter(frozenset(nodes_of(layer)) for layer in layers) for layers in (base, other)]
    if fusion[0] != fusion[1]:
        return Change.FUSED
    kept = [Counter((frozenset(nodes_of(layer)), precision_of(layer)) for layer in layers) for layers in (base, other)]
    return Change.SAME if kept[0] == kept[1] else Change.PRECISION


def _time(layers: list[Layer]) -> float | None:
    """Microseconds together: 0 where there is no layer, None where one was not timed."""
    times = [layer.time_us for layer in layers]
    known = [time for time in times if time is not None]
    return round(sum(known), 3) if len(known) == len(times) else None


def _compared(layer: Layer) -> ComparedLayer:
    return ComparedLayer(name=layer.name, type=layer.type, precision=precision_of(layer), time_us=layer.time_us)
