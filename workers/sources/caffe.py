"""Caffe: run by OpenCV's dnn, made ONNX by rules of our own. Caffe itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from enginehouse.formats import Format
from protos.caffe import CaffeError, Net, Shape, UnknownLayer, read_net, read_weights, weights_beside
from workers.backends.base import Session, Setting
from workers.backends.workpiece import Source, Workpiece
from workers.sources.base import SourceFormat
from workers.sources.onnx_made import made


class CaffeSource(SourceFormat):
    """A .prototxt with its .caffemodel beside it."""

    name = Format.CAFFE
    modules = ("cv2", "google.protobuf")
    onnx_modules = ("onnx",)
    packages = ("opencv-python-headless", "onnx", "protobuf")

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        from workers.sources.caffe_opencv import OpenCvSession

        return OpenCvSession(source.path, weights_file(source), setting, work)

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        from workers.sources.caffe_onnx import convert

        source = piece.source
        try:
            net = read_net(source.path.read_bytes())
            model = convert(net, read_weights(weights_file(source)), input_shapes(net, piece.shapes))
        except CaffeError as error:
            raise named(error) from error
        return made(source, model, piece.work / "onnx")

    def _runtime_impl(self) -> str:
        import cv2

        return f"opencv dnn {cv2.__version__} fp32 cpu"

    def nodes(self, source: Source, work: Path) -> list[str]:
        """Names of the layers that take part in inference."""
        return [layer.name for layer in read_net(source.path.read_bytes()).layers]


def weights_file(source: Source) -> Path:
    """The .caffemodel beside the network's text. Raises ConversionFailed."""
    folder = source.folder
    others = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    found = weights_beside(source.path.name, others)
    if found is None:
        raise ConversionFailed(f"there is no .caffemodel that belongs to {source.path.name} beside it")
    return folder / found


def input_shapes(net: Net, given: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shape of every input: the text's, else the request's. Raises ConversionFailed."""
    found: dict[str, Shape] = {}
    for name, shape in net.inputs.items():
        known = tuple(size for size in shape if size is not None)
        if len(known) == len(shape) and shape:
            found[name] = known
        elif name in given:
            found[name] = given[name]
        else:
            raise ConversionFailed(
                f"the .prototxt does not tell the shape of its input '{name}': it has {list(shape) or 'none'}",
                advice="Give 'shapes' with the full shape, or write it into the .prototxt's input_param.",
                inputs=[name],
            )
    return found


def named(error: CaffeError) -> BuildError:
    """The error as one of the farm's, with the layer that it is about."""
    if isinstance(error, UnknownLayer):
        return UnsupportedOperator(f"caffe: {error}", advice=error.hint, operators=[error.type], nodes=[error.layer])
    where: dict[str, Any] = {"nodes": [error.layer]} if error.layer else {}
    return ConversionFailed(f"caffe: {error}", **where)


FORMAT = CaffeSource()
