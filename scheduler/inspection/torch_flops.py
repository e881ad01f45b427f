"""Floating-point operations of a torch.export program: the products of its convolutions, matrices and attention."""

from __future__ import annotations

import math
from typing import Any

from enginehouse import torch_program

_FORWARD = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_PRODUCTS = {"linear": "input", "matmul": "self", "mm": "self", "bmm": "self", "addmm": "mat1", "baddbmm": "batch1"}
_ATTENTION = "scaled_dot_product_attention"
_UNKNOWN = ("lstm", "gru", "rnn_tanh", "rnn_relu", "einsum", "tensordot", "bilinear", "convolution", "_convolution")
"""Products whose number the node's own tensors do not tell."""


def flops(program: Any) -> int | None:
    """Operations of one inference, 2 per multiply-add, dynamic dimensions counted as 1; None if they cannot be told."""
    graph = program["graph_module"]["graph"]
    if any("as_graph" in argument["arg"] for node in graph["nodes"] for argument in node["inputs"]):
        return None  # control flow: how often a branch runs is not written
    total = 0
    for node in graph["nodes"]:
        kind = node["target"].removeprefix("torch.ops.aten.").split(".")[0]
        if kind in _UNKNOWN:
            return None
        if kind in _FORWARD + _TRANSPOSED or kind in _PRODUCTS or kind == _ATTENTION:
            total += _products(kind, node, graph["tensor_values"])
    return 2 * total


def _products(kind: str, node: Any, values: Any) -> int:
    """Multiply-adds of one node."""
    given = {one["name"]: one["arg"]["as_tensor"]["name"] for one in node["inputs"] if "as_tensor" in one["arg"]}

    def sizes(name: str) -> list[int]:
        found = [torch_program.size(dim) for dim in values[name]["sizes"]]
        return [dim if isinstance(dim, int) else 1 for dim in found]

    if kind == _ATTENTION:
        query, key, value = sizes(given["query"]), sizes(given["key"]), sizes(given["value"])
        return math.prod(query) * key[-2] + math.prod(query[:-1]) * value[-2] * value[-1]
    if kind in _TRANSPOSED:
        return math.prod(sizes(given["input"])) * math.prod(sizes(given["weight"])[1:])
    out = math.prod(sizes(node["outputs"][0]["as_tensor"]["name"]))
    if kind in _FORWARD:
        return out * math.prod(sizes(given["weight"])[1:])
    return out * sizes(given[_PRODUCTS[kind]])[-1]
