"""Caffe models for tests: a network's text, and weights written by our own descriptions of the format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from enginehouse.signature import ModelSignature, TensorSpec
from protos.caffe import MESSAGES, infer, read_net, wanted_blobs
from workers.backends.workpiece import Source

INPUT = 'name: "net" layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'


def net(layers: str, shape: Sequence[int] = (1, 3, 13, 11)) -> str:
    """A network's text: one input 'data', then these layers."""
    return INPUT.format(dims=" ".join(f"dim: {size}" for size in shape)) + "\n" + layers


def layer(kind: str, name: str, bottom: str | Sequence[str], top: str | Sequence[str] = "", more: str = "") -> str:
    """One layer's text; its top is named after it where none is given."""
    bottoms = [bottom] if isinstance(bottom, str) else bottom
    tops = [top or name] if isinstance(top, str) else top
    wires = " ".join([*(f'bottom: "{one}"' for one in bottoms), *(f'top: "{one}"' for one in tops)])
    return f'layer {{ name: "{name}" type: "{kind}" {wires} {more} }}\n'


def random_weights(text: str, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Weights of the shapes that the layers take. Variances and the like are positive."""
    found = {}
    made = read_net(text.encode())
    shapes = infer(made, {name: tuple(size or 1 for size in shape) for name, shape in made.inputs.items()})
    generator = np.random.default_rng(seed)
    for each in made.layers:
        blobs = []
        for shape in wanted_blobs(each, shapes):
            fan = max(1, math.prod(shape[1:]))
            blobs.append((generator.standard_normal(shape) / math.sqrt(fan)).astype(np.float32))
        if each.type == "BatchNorm":
            blobs[1] = np.abs(blobs[1]) + np.float32(0.5)
            blobs[2] = np.full(1, 2.0, np.float32)
        found[each.name] = blobs
    return found


def caffemodel(weights: Mapping[str, Sequence[np.ndarray]], *, legacy: bool = False, old: bool = False) -> bytes:
    """The bytes of a .caffemodel. ``legacy``: blobs with four sizes; ``old``: version 1 layers."""
    model = MESSAGES["Weights"](name="net")
    for name, arrays in weights.items():
        one = (model.layers if old else model.layer).add(name=name)
        for array in arrays:
            blob = one.blobs.add(data=[np.ascontiguousarray(array, "<f4").tobytes()])
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            elif array.ndim:  # Caffe writes no shape for a scalar
                blob.shape.dim.extend(array.shape)
    data: bytes = model.SerializeToString()
    return data


def write(folder: Path, text: str, weights: bytes | None = None, *, seed: int = 0) -> Source:
    """The two files in a folder, as a source with its signature."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".caffemodel").write_bytes(caffemodel(random_weights(text, seed)) if weights is None else weights)
    return Source(path, signature(text))


def signature(text: str) -> ModelSignature:
    """Inputs and outputs as inspection tells them."""
    made = read_net(text.encode())
    shapes = infer(made, {name: tuple(s or 1 for s in shape) for name, shape in made.inputs.items()})
    return ModelSignature(
        format="caffe",
        inputs=[TensorSpec(name=name, dtype="float32", shape=list(shape)) for name, shape in made.inputs.items()],
        outputs=[
            TensorSpec(name=name, dtype="float32", shape=list(shapes[name]) if name in shapes else [None])
            for name in made.outputs
        ],
        operators=dict(made.counted),
    )
