"""ONNX models for what only the OpenVINO backend does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from contract.backends_models import model, value, weights
from onnx import TensorProto, helper


def folded() -> Any:
    """A convolution, a batch norm and a ReLU: three nodes that become one layer. Height and width are free."""
    return model(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["c", "gain", "shift", "mean", "var"], ["n"], name="bn"),
            helper.make_node("Relu", ["n"], ["y"], name="relu"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [value("y", TensorProto.FLOAT, ["n", 8, "h", "w"])],
        {
            "w": weights(8, 3, 3, 3),
            "b": weights(8, seed=1),
            "gain": weights(8, seed=2) + 1,
            "shift": weights(8, seed=3),
            "mean": weights(8, seed=4),
            "var": np.abs(weights(8, seed=5)) + np.float32(0.5),
        },
    )


def perceptron(classes: int = 10) -> Any:
    """Three dense layers: 64 features in, scores of classes out. Their weights lie on a grid of sixteen steps."""
    sizes = ((64, 128), (128, 128), (128, classes))
    grids = [np.clip(weights(*size, seed=seed, scale=4), -8, 7).round() / 32 for seed, size in enumerate(sizes)]
    return model(
        [
            helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["r"], name="relu"),
            helper.make_node("MatMul", ["r", "w2"], ["b"], name="second"),
            helper.make_node("Tanh", ["b"], ["t"], name="tanh"),
            helper.make_node("MatMul", ["t", "w3"], ["y"], name="last"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 64])],
        [value("y", TensorProto.FLOAT, ["n", classes])],
        {f"w{number}": grid for number, grid in enumerate(grids, 1)},
    )


def uneven() -> Any:
    """Two convolutions; what the second reads of the first is a thousandth of its largest channel, which it leaves.

    In eight bits with one scale for all channels nothing is left of it: the second one must stay in float.
    """
    first, second = weights(8, 3, 3, 3), weights(8, 8, 3, 3, seed=1)
    first[0] *= 1000
    second[:, 0] = 0
    return model(
        [
            helper.make_node("Conv", ["x", "w1"], ["a"], name="loud", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["r"], name="relu"),
            helper.make_node("Conv", ["r", "w2"], ["b"], name="quiet", pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["b", "w3"], ["y"], name="last"),
        ],
        [value("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [value("y", TensorProto.FLOAT, [1, 4, 16, 16])],
        {"w1": first, "w2": second, "w3": weights(4, 8, 1, 1, seed=2)},
    )


def dataset(path: Path, shape: tuple[int, ...], samples: int = 8, **more: Any) -> Path:
    """A .npz of seeded pictures for the input 'x', values from 0 to 1."""
    np.savez(path, x=np.random.default_rng(7).random((samples, *shape), np.float32), **more)
    return path


def twice() -> Any:
    """Two convolutions with batch norms: one can be left in float."""
    norm = {"gain": weights(8, seed=2) + 1, "shift": weights(8, seed=3), "mean": weights(8, seed=4)}
    return model(
        [
            helper.make_node("Conv", ["x", "w1"], ["a"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["a", "gain", "shift", "mean", "var"], ["n"], name="bn"),
            helper.make_node("Relu", ["n"], ["r"], name="relu"),
            helper.make_node("Conv", ["r", "w2"], ["b"], name="other", pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["b", "gain", "shift", "mean", "var"], ["y"], name="norm"),
        ],
        [value("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [value("y", TensorProto.FLOAT, [1, 8, 16, 16])],
        {
            "w1": weights(8, 3, 3, 3),
            "w2": weights(8, 8, 3, 3, seed=1),
            "var": np.abs(weights(8, seed=5)) + np.float32(0.5),
            **norm,
        },
    )
