"""The script that does OpenVINO's part of a build outside the farm."""

from __future__ import annotations

import json
from collections.abc import Iterator

from enginehouse.formats import Format
from enginehouse.targets import Precision
from workers.backends.openvino import runtime
from workers.backends.openvino.options import OpenVinoOptions, ignored
from workers.backends.openvino.reproduce_quantization import quantization
from workers.backends.openvino.reproduce_reading import reading
from workers.backends.openvino.reshape import found_shapes
from workers.backends.workpiece import Source, Workpiece

_NAMED = (Format.ONNX,)
"""Formats whose names OpenVINO keeps."""

_PORTS = """
# The source model's names, where OpenVINO has others.
for ports, names in ((model.inputs, {inputs}), (model.outputs, {outputs})):
    if not all(any(name in port.get_names() for port in ports) for name in names):
        for port, name in zip(ports, names):
            port.get_tensor().set_names({{name}})
"""

_BLOB = """
with open("model.blob", "wb") as file:
    file.write(compiled.export_model().getvalue())
"""

_PREPROCESS = """
steps = PrePostProcessor(model)
{steps}model = steps.build()
"""

_COLORS = {"bgr-to-rgb": ("BGR", "RGB"), "rgb-to-bgr": ("RGB", "BGR")}


def script(piece: Workpiece, source: Source | None) -> str:
    """Convert, compress, save, compile. ``source``: what OpenVINO reads; None where the farm makes ONNX of it first."""
    options: OpenVinoOptions = piece.options
    parts = ["from __future__ import annotations\n\nimport openvino\n"]
    if options.preprocess:
        parts.append("from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm\n")
    scopes = ignored(options)
    ignoring = bool(scopes.names or scopes.types or scopes.patterns)
    parts.append("\n" + reading(piece, source, ignoring))
    if source is None or source.format not in _NAMED:
        ends = piece.source.signature
        inputs, outputs = ([spec.name for spec in specs] for specs in (ends.inputs, ends.outputs))
        parts.append(_PORTS.format(inputs=inputs, outputs=outputs))
    parts.append(_reshape(piece))
    parts.append(quantization(piece, ignoring))
    if options.preprocess:
        parts.append(_PREPROCESS.format(steps="".join(_steps(options))))
    half = piece.precision is Precision.FP16
    told = runtime.runtime(piece.precision, options)
    parts.append(f'\nopenvino.save_model(model, "model.xml", compress_to_fp16={half})\n')
    parts.append(f'compiled = openvino.Core().compile_model("model.xml", "{told.device}", {json.dumps(told.config)})\n')
    if options.compiled_blob:
        parts.append(_BLOB)
    parts.append("print(compiled)\n")
    return "".join(parts)


def _reshape(piece: Workpiece) -> str:
    if piece.options.reshape == "dynamic":
        return ""
    shapes = found_shapes(piece.work)
    if not shapes:
        return f"\n# Then {piece.options.reshape} shapes: the build ended before they were known.\n"
    return f"\nmodel.reshape({shapes})\n"


def _steps(options: OpenVinoOptions) -> Iterator[str]:
    for name, one in options.preprocess.items():
        port = f"steps.input({json.dumps(name)})"
        order = _COLORS.get(one.color)
        yield f"tensor = {port}.tensor().set_element_type(openvino.Type.{one.element_type})\n"
        yield f'tensor.set_layout(openvino.Layout("{one.layout}"))\n'
        if order:
            yield f"tensor.set_color_format(ColorFormat.{order[0]})\n"
        if one.resize != "none" and one.size is None:
            yield "tensor.set_spatial_dynamic_shape()\n"
        elif one.size:
            yield f"height, width = {one.size}\n"
            yield f'axes = dict(zip("{one.model_layout}", model.input({json.dumps(name)}).get_partial_shape()))\n'
            yield "axes.update(h=openvino.Dimension(height), w=openvino.Dimension(width))\n"
            yield f'tensor.set_shape(openvino.PartialShape([axes[axis] for axis in "{one.layout}"]))\n'
        yield f"process = {port}.preprocess().convert_element_type(openvino.Type.f32)\n"
        if order:
            yield f"process.convert_color(ColorFormat.{order[1]})\n"
        if one.resize != "none":
            yield f"process.resize(ResizeAlgorithm.RESIZE_{one.resize.upper()})\n"
        for what, numbers in (("mean", one.mean), ("scale", one.scale)):
            if numbers:
                yield f"process.{what}({list(numbers) if len(numbers) > 1 else numbers[0]})\n"
        yield f'{port}.model().set_layout(openvino.Layout("{one.model_layout}"))\n'
