"""Where an artifact that disagrees loses its precision: its tensors beside those of the source's ONNX in FP32.

Nodes are taken in the order in which they run. A node's drop is by how many decibels its result is worse than the worst
of the tensors that it reads; what a backend fused away is passed through, and the next tensor that is still there
answers for it. Everything above what the precision gives at best counts as equal: to go from nothing lost to
an ordinary rounding is no fault.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from enginehouse.report import LossyLayer
from enginehouse.targets import Precision
from workers.backends.base import Array, Arrays, Backend, Saved, first_line
from workers.backends.workpiece import Workpiece
from workers.pipeline.compare import Comparison

MOST = 10
"""Rows of the report."""
_LEAST_DROP = 3.0
_GROUP = 64
"""Tensors that are looked at in one run of both sides."""
_LONGEST_S = 120.0
_MOST_BYTES = 2 * 2**30
"""Weights beyond which a graph is not looked at."""
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Gather", "Einsum"})
_MOST_BEHIND = 4
_BEST_DB = {Precision.FP32: 90.0, Precision.FP16: 60.0, Precision.BF16: 40.0, Precision.TF32: 60.0}
_INTEGER_DB = 35.0


@dataclass
class Lossy:
    """The report's rows, the worst first, and for each the nodes to keep in float so that it is mended."""

    rows: list[LossyLayer] = field(default_factory=list)
    keep: list[list[str]] = field(default_factory=list)


def find_lossy(piece: Workpiece, backend: Backend, saved: Saved, feeds: Arrays, source_feeds: Arrays) -> Lossy:
    """Look at one sample. Nothing is found where the model is no ONNX, or the backend shows nothing of its inside.

    ``feeds``: as the artifact takes it; ``source_feeds``: as the source model does.
    """
    from workers.stages.graph import bytes_of, load_model
    from workers.stages.operators import unique_tensors

    source = piece.graph
    if source is None:
        return Lossy()
    model = load_model(source.path)
    unique_tensors(model)
    if sum(bytes_of(tensor) for tensor in model.graph.initializer) > _MOST_BYTES:
        return Lossy()
    found: dict[str, Comparison] = {}
    try:
        for name, mine, true in _pairs(piece, backend, saved, model, source.folder, feeds, source_feeds):
            found[name] = Comparison(name)
            found[name].add(mine, true)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it explains a disagreement, and must not hide it behind a failure
        piece.notes.say(f"which layers lose precision is not known: {first_line(error)}")
        return Lossy()
    if not found:
        piece.notes.say("which layers lose precision is not known: the artifact shows none of the model's tensors")
    return ranked(model.graph.node, found, _BEST_DB.get(piece.precision, _INTEGER_DB))


def ranked(nodes: Sequence[Any], found: Mapping[str, Comparison], best_db: float) -> Lossy:
    """The nodes with the largest drops. ``nodes``: NodeProtos in order; ``found``: tensor to its comparison."""
    level: dict[str, float] = {}
    hidden: dict[str, int] = {}
    drops: list[tuple[float, int, Comparison]] = []
    for index, node in enumerate(nodes):
        above = min((level[name] for name in node.input if name in level), default=best_db)
        seen = [found[name] for name in node.output if name in found]
        below = min((min(best_db, one.sqnr_db) for one in seen), default=above)
        level |= dict.fromkeys(filter(None, node.output), below)
        # A weighted node that was fused into what follows it is what the following tensor tells of.
        within = index if node.op_type in _WEIGHTED else next((hidden[n] for n in node.input if n in hidden), index)
        if not seen:
            if nodes[within].op_type in _WEIGHTED:
                hidden |= dict.fromkeys(node.output, within)
        elif above - below >= _LEAST_DROP:
            drops.append((above - below, within, min(seen, key=lambda one: one.sqnr_db)))
    drops.sort(key=lambda one: (-one[0], one[1]))
    lossy = Lossy()
    for drop, index, worst in drops[:MOST]:
        node = nodes[index]
        sqnr_db = round(worst.sqnr_db, 3)
        row = LossyLayer(node=node.name, type=node.op_type, sqnr_db=sqnr_db, cosine=worst.cosine, drop=round(drop, 3))
        lossy.rows.append(row)
        lossy.keep.append(_to_mend(nodes, index))
    return lossy


def _to_mend(nodes: Sequence[Any], index: int) -> list[str]:
    """The node, and the nearest ones before it that have weights: what they give is rounded as long as they are."""
    names = [nodes[index].name]
    makers = {name: one for one in nodes for name in one.output if name}
    queue, seen = list(nodes[index].input), set(nodes[index].input)
    while queue and len(names) <= _MOST_BEHIND:
        node = makers.get(queue.pop(0))
        if node is None or node.name in names:
            continue
        if node.op_type in _WEIGHTED:
            names.append(node.name)
            continue
        fresh = [name for name in node.input if name not in seen]
        seen.update(fresh)
        queue += fresh
    return names


def _pairs(
    piece: Workpiece, backend: Backend, saved: Saved, model: Any, folder: Any, feeds: Arrays, source_feeds: Arrays
) -> Iterator[tuple[str, Array, Array]]:
    """Name, artifact's values and source's of the floating tensors that both have, group by group."""
    from workers.stages.graph import FLOATING
    from workers.stages.operators import tensor_types
    from workers.stages.ranges import values_of

    types = tensor_types(model)
    names = [name for node in model.graph.node for name in node.output if name and types.get(name) in FLOATING]
    until = time.monotonic() + _LONGEST_S
    for begin in range(0, len(names), _GROUP):
        group = names[begin : begin + _GROUP]
        true = dict(zip(group, values_of(model, folder, group, source_feeds, piece.threads), strict=True))
        mine = backend.inside(piece, saved, feeds, true)
        for name in group:
            if name in mine and mine[name].shape == true[name].shape:
                yield name, np.asarray(mine[name], np.float32), np.asarray(true[name])
        if time.monotonic() > until:
            piece.notes.say(f"the search for layers that lose precision stopped after {_LONGEST_S:.0f} s")
            return
