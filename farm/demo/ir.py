"""The proof of the pudding: load the downloaded IR with OpenVINO itself and run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def run(entry: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Run a model on the CPU with seeded inputs; each output's name and shape. ``shapes``: by input name."""
    import numpy as np
    import openvino as ov

    model = ov.Core().compile_model(entry, "CPU")
    random = np.random.default_rng(0)
    inputs = {}
    for port in model.inputs:
        name = next(name for name in shapes if name in port.names)
        values = random.random(tuple(shapes[name]))
        inputs[name] = values.astype(port.element_type.to_dtype())
    results = model(inputs)
    return {port.any_name: tuple(results[port].shape) for port in model.outputs}
