"""OpenVINO's own reader of each format, and what it is given to read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openvino
from openvino.frontend import FrontEndManager

from enginehouse.errors import ModelUnreadable
from enginehouse.formats import Format
from enginehouse.shapes import has_rank
from enginehouse.signature import TensorSpec
from workers.backends.workpiece import Source, Workpiece

READERS = {
    Format.ONNX: "onnx",
    Format.SAVED_MODEL: "tf",
    Format.KERAS: "tf",
    Format.TFLITE: "tflite",
    Format.TORCH_EXPORT: "pytorch",
    Format.TORCHSCRIPT: "pytorch",
}


def converted(piece: Workpiece, source: Source) -> tuple[Any, dict[str, str]]:
    """The source as ov.Model, as the frontend gives it, and what the source calls nodes that were renamed on the way.

    The frontend is the format's own: asked for any, OpenVINO would try one after the other on a stranger's bytes.
    Raises ModelUnreadable for bytes that it does not recognise.
    """
    reader = FrontEndManager().load_by_framework(READERS[source.format])
    if READERS[source.format] == "pytorch":
        with _quietly():
            decoder, renamed = _decoder(source)
            loaded = reader.load(decoder)
            for place, spec in zip(loaded.get_inputs(), source.signature.inputs, strict=True):
                loaded.set_element_type(place, openvino.Type(spec.dtype))
                loaded.set_partial_shape(place, openvino.PartialShape(_sizes(piece, spec)))
            return reader.convert(loaded), renamed
    path = _path(piece, source)
    if not reader.supported(path):
        raise ModelUnreadable(f"OpenVINO's {READERS[source.format]} reader does not recognise the file")
    return reader.convert(reader.load(path)), {}


def _path(piece: Workpiece, source: Source) -> str:
    if source.format is Format.SAVED_MODEL:
        from workers.sources.saved_model import folder

        return str(folder(source, piece.work))
    if source.format is Format.KERAS:
        from workers.sources.keras_file import saved_model

        return str(saved_model(source, piece.work))
    return str(source.path)


def _decoder(source: Source) -> tuple[Any, dict[str, str]]:
    """A PyTorch program as OpenVINO reads it, and its nodes' names before it was taken apart into simpler operators."""
    if source.format is Format.TORCHSCRIPT:
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        from workers.sources.torchscript import load_module

        return TorchScriptPythonDecoder(load_module(source)), {}
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    from workers.sources.torch_export import load_program

    decoder = TorchFXPythonDecoder.from_exported_program(load_program(source))
    return decoder, {node.name: _first_name(node) for node in decoder.pt_module.graph.nodes}


def _first_name(node: Any) -> str:
    """The name of the node that a decomposed one came of, as far back as torch knows."""
    name, steps = node.name, list(node.meta.get("from_node") or ())
    while steps:
        name, steps = steps[-1].name, list(steps[-1].from_node)
    return str(name)


def _sizes(piece: Workpiece, spec: TensorSpec) -> list[int]:
    """An input's shape, -1 where it is dynamic. TorchScript may not tell the rank: the job or its samples do."""
    if has_rank(spec):
        return [dim if isinstance(dim, int) and dim > 0 else -1 for dim in spec.shape]
    if spec.name in piece.shapes:
        return [-1] * len(piece.shapes[spec.name])
    if piece.profiles and spec.name in piece.profiles[0]:
        return [-1] * len(piece.profiles[0][spec.name].opt)
    return [-1] * piece.samples.typical()[0][spec.name].ndim


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what OpenVINO logs about operators that this PyTorch no longer has, and PyTorch about itself."""
    from workers.sources.torch_session import quietly

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quietly():
            yield
    finally:
        logging.disable(before)
