"""A source model to IR. A conversion needs the frontend and the serialiser only: no runtime is started.

These are the steps of ``openvino.convert_model``, taken one by one: the frontend is the one that the format calls for,
and what was fused is asked for before it is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino
from openvino._offline_transformations import (
    apply_fused_names_cleanup,
    apply_moc_transformations,
    compress_quantize_weights_transformation,
)
from openvino.preprocess import PrePostProcessor

from enginehouse.errors import ConversionFailed
from enginehouse.signature import TensorSpec
from enginehouse.targets import Precision
from workers.backends.base import Saved, Setting
from workers.backends.openvino import blob, lineage, preprocess, reshape, runtime
from workers.backends.openvino.frontend import converted
from workers.backends.openvino.precision import check_stored
from workers.backends.openvino.run import compiled
from workers.backends.workpiece import Source, Workpiece

ENTRY = "model.xml"
WEIGHTS = "model.bin"


def read(piece: Workpiece, source: Source) -> Any:
    """The source as OpenVINO's ov.Model, its inputs and outputs named as the source's. Raises ModelUnreadable."""
    model, renamed = converted(piece, source)
    before = lineage.origin(model)
    model = PrePostProcessor(model).build()
    name_ports(model, source)
    apply_moc_transformations(model, cf=False, smart_reshape=True)
    compress_quantize_weights_transformation(model)
    lineage.write(lineage.lineage(model, before, renamed), piece.work)
    apply_fused_names_cleanup(model)
    return model


def prepare(piece: Workpiece, source: Source, model: Any) -> Any:
    """Shapes, then precision, then pre-processing. Weights in half precision are made while they are written."""
    options = piece.options
    if options.hint == "throughput" or (options.streams or 1) > 1:
        piece.notes.say(
            "single inferences were timed, one at a time: streams that run side by side show in no number here"
        )
    preprocess.check(model, options.preprocess)
    reshape.reshape(piece, model)
    if piece.precision is Precision.INT4 or options.quantization == "weights":
        from workers.backends.openvino.weights import compress

        model = compress(piece, source, model)
    elif piece.precision is Precision.INT8:
        from workers.backends.openvino.quantize import quantize

        model = quantize(piece, source, model)
    if options.preprocess:
        model = preprocess.embed(model, options.preprocess)
        piece.notes.say(f"the artifact does the pre-processing of {', '.join(options.preprocess)} itself")
    return model


def save(piece: Workpiece, model: Any, folder: Path) -> Saved:
    """Write the IR, how it is to be run, and the compiled model where that is asked for. Raises PrecisionNotKept."""
    openvino.save_model(model, folder / ENTRY, compress_to_fp16=piece.precision is Precision.FP16)
    check_stored(piece, folder / ENTRY)
    told = runtime.runtime(piece.precision, piece.options)
    files = [ENTRY, WEIGHTS, runtime.FILE]
    if piece.options.compiled_blob:
        told.blob = blob.export(compiled(folder / ENTRY, told, Setting(threads=piece.threads)), folder)
        files.append(blob.FILE)
    runtime.write(told, folder)
    settings = {"device": told.device, **told.config}
    return Saved(folder=folder, entry=ENTRY, files=tuple(files), settings=settings)


def name_ports(model: Any, source: Source) -> None:
    """Give inputs and outputs the source's names, and those only. Raises ConversionFailed where they do not match."""
    signature = source.signature
    for what, ports, specs in (
        ("inputs", model.inputs, signature.inputs),
        ("outputs", model.outputs, signature.outputs),
    ):
        for port, spec in matched(what, ports, specs):
            if port.get_names() != {spec.name}:
                port.get_tensor().set_names({spec.name})


def matched(what: str, ports: Sequence[Any], specs: Sequence[TensorSpec]) -> list[tuple[Any, TensorSpec]]:
    """Each port with what the source calls it: by name where all names are found, else in their order."""
    bearing = {name: port for port in ports for name in port.get_names()}
    if all(spec.name in bearing for spec in specs) and len(ports) == len(specs):
        return [(bearing[spec.name], spec) for spec in specs]
    if len(ports) != len(specs):
        raise ConversionFailed(f"the source has {len(specs)} {what}, what OpenVINO made of it {len(ports)}")
    return list(zip(ports, specs, strict=True))
