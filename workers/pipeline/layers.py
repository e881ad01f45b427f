"""The layer table's columns that do not depend on the toolchain: shares of time, and what became of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from enginehouse.report import Layer
from workers.backends.workpiece import Workpiece
from workers.sources import get

_MOST = 2000


def with_shares(layers: Sequence[Layer]) -> list[Layer]:
    """Each layer with its share of the time of all of them."""
    total = sum(layer.time_us or 0.0 for layer in layers)
    if not total:
        return list(layers)
    return [
        layer if layer.time_us is None else layer.model_copy(update={"share": round(layer.time_us / total, 5)})
        for layer in layers
    ]


def source_nodes(piece: Workpiece) -> list[str]:
    """Names of the nodes that layers are told in: the ONNX graph's where the model went through one."""
    source = piece.onnx if piece.went_through_onnx or piece.altered else piece.source
    return get(source.format).nodes(source, piece.work)


def without_layer(nodes: Iterable[str], layers: Sequence[Layer]) -> list[str]:
    """Source nodes that no executed layer is or stands for: folded, eliminated, or merged without a trace."""
    kept = {layer.name for layer in layers} | {name for layer in layers for name in layer.fused}
    return [name for name in nodes if name and name not in kept][:_MOST]
