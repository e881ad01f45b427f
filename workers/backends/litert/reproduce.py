"""The script that repeats a build outside the farm: the converters called directly, the farm's own parts in full."""

from __future__ import annotations

from collections.abc import Iterator
from pprint import pformat
from typing import Any

from enginehouse.formats import Format
from enginehouse.quantization import GENERATED, Quantization
from enginehouse.targets import Precision
from workers.backends.litert import record
from workers.backends.litert.embedded import embedded
from workers.backends.litert.names import KEY
from workers.backends.litert.shapes import open_shapes
from workers.backends.workpiece import Workpiece

_HERE = "workers.backends.litert"
_IMPORTER = f"{_HERE}.importer"
_IMPORT = [
    "workers.stages.graph",
    *[
        f"{_IMPORTER}.{name}"
        for name in (
            "value", "node", "known", "gelu", "weights", "translate", "arithmetic", "constant", "activation",
            "reduction", "shaping", "window", "convolution", "pooling", "normal", "matrix", "indexing", "detection",
            "resize", "recurrent", "control", "quantized", "function",
        )
    ],
    _IMPORTER,
]  # fmt: skip
"""The import of ONNX, in the order in which its modules use each other."""

_ONNX = """
import tensorflow as tf
from onnx.external_data_helper import load_external_data_for_model
from pathlib import Path
from workers.backends.litert.importer import INPUT, OUTPUT, function, prepared
from workers.stages.graph import load_model

source = load_model(Path({path!r})){comment}
load_external_data_for_model(source, ".")
call, weights = function(prepared(source)[0], {shapes})
data = bytes(tf.lite.TFLiteConverter.from_concrete_functions([call], weights).convert())
inputs = [INPUT.format(i) for i in range({inputs})]
outputs = [OUTPUT.format(i) for i in range({outputs})]
"""

_KERAS = """
import keras

keras.saving.load_model({path!r}, compile=False).export("saved_model")
"""

_SAVED_MODEL = """
import tensorflow as tf

# {path}: the folder of the SavedModel, unpacked
converter = tf.lite.TFLiteConverter.from_saved_model({path!r}, signature_keys=[{key!r}])
data = bytes(converter.convert())
inputs, outputs = {inputs}, {outputs}
"""

_FIXED_SAVED_MODEL = """
import tensorflow as tf

loaded = tf.saved_model.load({path!r})  # the folder of the SavedModel, unpacked
served = loaded.signatures[{key!r}]
kinds = served.structured_input_signature[1]
specs = {{name: tf.TensorSpec(shape, kinds[name].dtype) for name, shape in {shapes}.items()}}


@tf.function(input_signature=list(specs.values()), autograph=False)
def call(*tensors):
    found = served(**dict(zip(specs, tensors)))
    return {{f"output_{{i}}": tf.identity(found[name]) for i, name in enumerate({outputs})}}


data = bytes(tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()], loaded).convert())
inputs = [tensor.name.split(":")[0] for tensor in call.get_concrete_function().inputs[:{count}]]
outputs = [f"output_{{i}}" for i in range(len({outputs}))]
"""

_TORCH = """
import litert_torch
import torch

program = torch.export.load({path!r})
shapes, kinds = {shapes}, {kinds}
sample = tuple(
    torch.zeros([2 if size is None else size for size in shapes[name]], dtype=getattr(torch, kind))
    for name, kind in kinds.items()
)
dynamic = tuple({{i: torch.export.Dim.AUTO for i, size in enumerate(one) if size is None}} for one in shapes.values())
made = litert_torch.convert(
    program.module(), sample, enable_x64=True, dynamic_shapes=dynamic if any(dynamic) else None
)
made.export("model.float32.tflite")
data = open("model.float32.tflite", "rb").read()
inputs = [f"args_{{i}}" for i in range(len(shapes))]
outputs = [f"output_{{i}}" for i in range({outputs})]
"""

_TFLITE = """
data = open({path!r}, "rb").read()
inputs, outputs = {inputs}, {outputs}
"""

_NAMES = """
# The source model's names, and their order.
from types import SimpleNamespace
from workers.backends.litert import names
from workers.backends.litert.flatbuffer import packed, unpacked

signature = SimpleNamespace(**{{
    ends: [SimpleNamespace(name=name, dtype=dtype) for name, dtype in pairs] for ends, pairs in {ends}.items()
}})
model = unpacked(data)
names.rename(model, signature, *names.wired(model, inputs, outputs))
"""

_HALF = """
from workers.backends.litert.half import halve

print("left in float32:", halve(model))
"""

_RECIPE = """
from ai_edge_quantizer import calibrator, quantizer, recipe as recipes, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

recipe = {recipe}
data = packed(model)
"""

_CALIBRATE = """
import numpy as np

arrays = np.load("dataset.npz")  # {origin}
samples = [{{name: arrays[name][i] for name in {names}}} for i in range(min({count}, len(arrays[{first!r}])))]
rules = recipe_manager.RecipeManager()
rules.load_quantization_recipe(recipe)
for port in model.signatureDefs[0].inputs:  # open dimensions begin with a sample's sizes
    model.subgraphs[0].tensors[port.tensorIndex].shape = list(samples[0][port.name.decode()].shape)
data = packed(model)
worker = calibrator.Calibrator(bytearray(data), num_threads={threads}, qsv_update_func=qsv_utils.{update})
worker.calibrate({{{key!r}: samples}}, rules)
ranges = worker.get_model_qsvs()
"""

_QUANTIZE = """
model = unpacked(bytes(quantizer.Quantizer(bytearray(data), recipe).quantize({ranges}).quantized_model))
"""

_AS_IT_IS = """

def packed(model):
    return model


model = data  # the farm leaves the file as it is
"""

_WRITE = """
from ai_edge_litert.interpreter import Interpreter

with open("model.tflite", "wb") as file:
    file.write(packed(model))
interpreter = Interpreter("model.tflite", num_threads={threads})
print(interpreter.get_signature_list())
"""


def script(piece: Workpiece, direct: bool) -> str:
    """The build's steps. Before the build it tells what will be done; after it, with what was decided."""
    return "".join(_parts(piece, direct))


def _parts(piece: Workpiece, direct: bool) -> Iterator[str]:
    decided = record.noted(piece.work)
    through_onnx = not direct or piece.source.format is Format.ONNX
    parts = [*(_IMPORT if through_onnx else []), f"{_HERE}.flatbuffer", f"{_HERE}.names"]
    if piece.precision is Precision.FP16:
        parts.append(f"{_HERE}.half")
    yield embedded("The farm's own part of the conversion", parts)
    shapes = decided.get("shapes") or open_shapes(piece.source.signature.inputs)
    yield _reading(piece, None if through_onnx else piece.source.format, shapes)
    ends = piece.source.signature
    pairs = {"inputs": [(one.name, one.dtype) for one in ends.inputs]}
    pairs["outputs"] = [(one.name, one.dtype) for one in ends.outputs]
    yield _AS_IT_IS if decided.get("as_it_is") else _NAMES.format(ends=pformat(pairs, width=110))
    if piece.precision is Precision.FP16:
        yield _HALF
    elif piece.precision is Precision.INT8:
        yield from _int8(piece, decided)
    yield _WRITE.format(threads=piece.threads)


def _reading(piece: Workpiece, form: Format | None, shapes: dict[str, Any]) -> str:
    source = piece.source
    inputs, outputs = [one.name for one in source.signature.inputs], [one.name for one in source.signature.outputs]
    if form is Format.TORCH_EXPORT:
        kinds = {one.name: one.dtype for one in source.signature.inputs}
        return _TORCH.format(path=source.path.name, shapes=shapes, kinds=kinds, outputs=len(outputs))
    if form is Format.TFLITE:
        return _TFLITE.format(path=source.path.name, inputs=inputs, outputs=outputs)
    if form in (Format.SAVED_MODEL, Format.KERAS):
        keras = _KERAS.format(path=source.path.name) if form is Format.KERAS else ""
        told = {"path": "saved_model", "key": KEY, "inputs": inputs, "outputs": outputs}
        if shapes == open_shapes(source.signature.inputs):
            return keras + _SAVED_MODEL.format(**told)
        return keras + _FIXED_SAVED_MODEL.format(**told, shapes=shapes, count=len(inputs))
    own = source.format is Format.ONNX and not piece.altered
    comment = "" if own else f"  # the ONNX that the farm made of the {source.format} model"
    path = source.path.name if own else "intermediate.onnx"
    return _ONNX.format(path=path, comment=comment, shapes=shapes, inputs=len(inputs), outputs=len(outputs))


def _int8(piece: Workpiece, decided: dict[str, Any]) -> Iterator[str]:
    options = piece.options
    static = (options.quantization or Quantization.STATIC) == Quantization.STATIC
    recipe = decided.get("recipe")
    if recipe is None:  # the build has not come as far
        how = {Quantization.DYNAMIC: "dynamic_wi8_afp32", Quantization.WEIGHTS: "weight_only_wi8_afp32"}
        name = how.get(options.quantization, "static_wi8_ai8")
        yield _RECIPE.format(recipe=f"recipes.{name}()")
    else:
        yield _RECIPE.format(recipe=pformat(recipe, width=110))
    if static:
        names = [one.name for one in piece.source.signature.inputs]
        made_up = options.calibration == GENERATED
        yield _CALIBRATE.format(
            origin="made-up inputs: save your own" if made_up else "the job's dataset: one array per input",
            names=names,
            first=names[0],
            count=options.calibration_samples,
            threads=piece.threads,
            update={"minmax": "min_max_update", "average": "moving_average_update"}[options.ranges],
            key=KEY,
        )
    yield _QUANTIZE.format(ranges="ranges" if static else "")
