"""Weights set to zero: two of every four neighbours as sparse tensor cores want it, or the smallest of each tensor.

2:4: for each output channel (and each place of a kernel) at least two of every four neighbouring input channels are
zero (TensorRT's documentation, "Sparsity"); the two smallest magnitudes go, as in A. Mishra et al., Accelerating Sparse
Deep Neural Networks, 2021. Biases, normalisations and embedding tables are left alone.

Imports numpy, onnx and the stages' own parts: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workers.stages.graph import (
    FLOATING,
    all_graphs,
    all_nodes,
    array,
    attribute,
    constant,
    elements,
    set_values,
)
from workers.stages.operators import unique_tensors

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_GROUP = 4
_CHUNK = 1 << 20
"""Groups that are sorted at a time."""


@dataclass
class Zeroed:
    """What pruning did. ``shares``: weight to the share of it that is zero now; ``total``: of all weights."""

    shares: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    total: float = 0.0


def prune_model(model: Any, folder: Path, pattern: str, share: float) -> Zeroed:
    """Prune in place: '2:4', or 'magnitude' with the share of each tensor. ``folder``: where external data lies."""
    unique_tensors(model)
    tensors = {tensor.name: tensor for graph in all_graphs(model.graph) for tensor in graph.initializer}
    for node in all_nodes(model.graph):
        if (tensor := constant(node)) is not None:
            tensors[node.output[0]] = tensor
    uses: dict[str, set[tuple[int, int]]] = {}
    for name, axis, groups in _weights(model, tensors):
        uses.setdefault(name, set()).add((axis, groups))
    found = Zeroed()
    zeros = 0
    for name, ways in uses.items():
        values = array(tensors[name], folder)
        axis, groups = next(iter(ways))
        fits = len(ways) == 1 and values.shape[axis] % (_GROUP * groups) == 0
        if pattern == "2:4" and not fits:
            found.skipped.append(name)
            continue
        pruned = two_of_four(values, axis) if pattern == "2:4" else smallest(values, share)
        set_values(tensors[name], pruned)
        count = int(np.count_nonzero(pruned == 0))
        zeros += count
        found.shares[name] = count / pruned.size
    every = sum(elements(tensor) for tensor in tensors.values() if tensor.data_type in FLOATING)
    found.total = zeros / every if every else 0.0
    return found


def two_of_four(values: Any, axis: int) -> Any:
    """The two smallest magnitudes of every four neighbours along the axis (a multiple of 4 long) set to zero."""
    moved = np.moveaxis(values, axis, -1)
    groups = np.array(moved, order="C").reshape(-1, _GROUP)
    for begin in range(0, len(groups), _CHUNK):
        part = groups[begin : begin + _CHUNK]
        least = np.argsort(np.abs(part.astype(np.float32)), axis=1, kind="stable")[:, :2]
        np.put_along_axis(part, least, part.dtype.type(0), axis=1)
    return np.moveaxis(groups.reshape(moved.shape), -1, axis)


def smallest(values: Any, share: float) -> Any:
    """The share of the elements with the smallest magnitudes set to zero; among equals, the first ones."""
    count = int(values.size * share)
    flat = values.ravel().copy()
    if count:
        magnitudes = np.abs(flat.astype(np.float32))
        limit = np.partition(magnitudes, count - 1)[count - 1]
        flat[magnitudes < limit] = 0
        equal = np.flatnonzero(magnitudes == limit)
        flat[equal[: count - int(np.count_nonzero(magnitudes < limit))]] = 0
    return flat.reshape(values.shape)


def _weights(model: Any, tensors: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Weights of convolutions, matrix products and recurrent cells, the axis that is summed over, groups along it."""
    makers = {name: node for node in all_nodes(model.graph) for name in node.output}
    for node in all_nodes(model.graph):
        groups = attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1
        for index, axis in _summed(node):
            name = node.input[index]
            while name not in tensors and name in makers:  # behind a transposition, a cast or nothing at all
                maker = makers[name]
                name = maker.input[0] if maker.input else ""
                if maker.op_type == "Transpose" and name in tensors:
                    order = attribute(maker, "perm") or list(range(len(tensors[name].dims)))[::-1]
                    axis = order[axis]
                elif maker.op_type not in ("Identity", "Cast"):
                    break
            tensor = tensors.get(name)
            if tensor is not None and tensor.data_type in FLOATING and len(tensor.dims) >= 2:
                yield name, axis % len(tensor.dims), groups


def _summed(node: Any) -> list[tuple[int, int]]:
    """Inputs that are weights where they are constant, each with the axis that is summed over."""
    kind = node.op_type
    if kind == "Conv":
        return [(1, 1)]
    if kind == "ConvTranspose":
        return [(1, 0)]
    if kind == "Gemm":
        return [(1, 1 if attribute(node, "transB") else 0), (0, 0 if attribute(node, "transA") else 1)]
    if kind == "MatMul":
        return [(1, -2), (0, -1)]
    if kind in _RECURRENT:
        return [(1, -1), (2, -1)]
    return []
