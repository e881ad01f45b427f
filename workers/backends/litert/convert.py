"""A source model to one .tflite file, by the converter that its format has, and in the precision asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from enginehouse.errors import BoundsRequired, BuildError, PrecisionNotKept
from enginehouse.formats import Format
from enginehouse.shapes import has_rank
from enginehouse.targets import Precision
from workers.backends.base import Saved
from workers.backends.litert import kept, names, record
from workers.backends.litert.flatbuffer import Model, packed, text, unpacked
from workers.backends.litert.half import halve
from workers.backends.litert.lineage import Lineage
from workers.backends.litert.shapes import Open, fixed, is_open, open_shapes, settle
from workers.backends.litert.shapes import text as shapes_text
from workers.backends.workpiece import Workpiece

ENTRY = "model.tflite"
FLOAT = "float.tflite"
"""The file before it was quantised, in the work folder."""

Converted = tuple[bytes, Sequence[str], Sequence[str]]
"""A file, and its own names for the source's inputs and outputs, in their order."""


def read(piece: Workpiece, direct: bool) -> bytes:
    """The model in float32, with the source's names. Raises UnsupportedOperator, ConversionFailed, BoundsRequired."""
    if direct and piece.source.format is Format.TFLITE:
        return _as_it_is(piece)
    with _quiet():
        data, inputs, outputs = _in_some_shape(piece, direct)
    model = unpacked(data)
    names.rename(model, piece.source.signature, *names.wired(model, inputs, outputs))
    _check_open(piece, model)
    piece.notes.route += ["tf-savedmodel", "tflite"] if direct and piece.source.format is Format.KERAS else ["tflite"]
    return packed(model)


def prepare(piece: Workpiece, data: bytes) -> bytes:
    """In the precision that was asked for. Raises CalibrationFailed, DatasetRequired."""
    if piece.precision is Precision.FP32:
        return data
    model = unpacked(data)
    before = kept.held(model)
    if before.weights or before.activations:  # a .tflite that is quantised already
        piece.notes.say("the source is quantised already and was left as it is")
        return data
    if piece.precision is Precision.FP16:
        piece.notes.kept_float += Lineage(piece).names(halve(model))
        return packed(model)
    from workers.backends.litert.quantize import quantize

    (piece.work / FLOAT).write_bytes(data)
    made, left = quantize(piece, data)
    piece.notes.kept_float += Lineage(piece).names(left)
    return made


def save(piece: Workpiece, data: bytes, folder: Path) -> Saved:
    """Write model.tflite. Raises PrecisionNotKept."""
    kept.check(unpacked(data), piece.precision, piece.options)
    (folder / ENTRY).write_bytes(data)
    return Saved(folder=folder, entry=ENTRY, files=(ENTRY,))


def _as_it_is(piece: Workpiece) -> bytes:
    """A .tflite file; its own bytes, if nothing is to change and it can be run by its signature's names."""
    data = piece.source.path.read_bytes()
    model = unpacked(data)
    graph, signature = model.subgraphs[0], piece.source.signature
    ends = [(spec.name, index) for spec, index in zip(signature.inputs, graph.inputs, strict=True)]
    ends += [(spec.name, index) for spec, index in zip(signature.outputs, graph.outputs, strict=True)]
    still = piece.options.reshape == "static" and is_open(open_shapes(signature.inputs))
    found = model.signatureDefs or []
    if piece.precision is Precision.FP32 and not still and len(found) == 1 and not found[0].subgraphIndex:
        own = {(text(one.name), one.tensorIndex) for one in (*found[0].inputs, *found[0].outputs)}
        if own == set(ends):
            record.note(piece.work, as_it_is=True)
            return data
    if still:
        shapes = fixed(piece, guess=True)
        settle(graph, graph.inputs, [[size or 1 for size in shapes[spec.name]] for spec in signature.inputs])
        piece.notes.say(f"fixed shapes: {shapes_text(shapes)}")
    names.rename(model, signature, list(graph.inputs), list(graph.outputs))
    return packed(model)


def _in_some_shape(piece: Workpiece, direct: bool) -> Converted:
    """With open dimensions where it converts so and nothing else is asked for, else with fixed ones."""
    inputs = piece.source.signature.inputs
    own, how = open_shapes(inputs), piece.options.reshape
    if not is_open(own):
        return _converted(piece, own, direct)
    if how == "static" or not all(has_rank(spec) for spec in inputs):
        return _fixed(piece, fixed(piece, guess=True), direct)
    try:
        return _converted(piece, own, direct)
    except BuildError as error:
        if how == "dynamic":
            raise
        print(f"with open dimensions: {error.detail}", flush=True)  # noqa: T201 - standard output is the build's log
        return _fixed(piece, _known(piece, direct, error), direct)


def _known(piece: Workpiece, direct: bool, error: BuildError) -> Open:
    """Fixed sizes; where the job gives none, BoundsRequired if they would help, else the error itself."""
    try:
        return fixed(piece, guess=False)
    except BoundsRequired as missing:
        try:
            _converted(piece, fixed(piece, guess=True), direct)
        except BuildError:
            raise error from None
        raise missing from error


def _fixed(piece: Workpiece, shapes: Open, direct: bool) -> Converted:
    found = _converted(piece, shapes, direct)
    piece.notes.say(f"fixed shapes: {shapes_text(shapes)}")
    return found


def _converted(piece: Workpiece, shapes: Open, direct: bool) -> Converted:
    source = piece.source
    record.note(piece.work, shapes=shapes)
    if direct and source.format is Format.SAVED_MODEL:
        from workers.backends.litert import from_tensorflow
        from workers.sources.saved_model import folder

        return from_tensorflow.convert(source, folder(source, piece.work), shapes)
    if direct and source.format is Format.KERAS:
        from workers.backends.litert import from_tensorflow
        from workers.sources.keras_file import saved_model

        return from_tensorflow.convert(source, saved_model(source, piece.work), shapes)
    if direct and source.format is Format.TORCH_EXPORT:
        from workers.backends.litert import from_torch

        return from_torch.convert(piece, shapes)
    from workers.backends.litert import from_onnx

    return from_onnx.convert(piece.onnx, shapes, piece.work)


def _check_open(piece: Workpiece, model: Model) -> None:
    """Raise PrecisionNotKept where open dimensions were asked for and the converter fixed them."""
    graph = model.subgraphs[0]
    own = open_shapes(piece.source.signature.inputs)
    closed = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        dims = tensor.shapeSignature if tensor.shapeSignature is not None and len(tensor.shapeSignature) else []
        wanted = own.get(text(tensor.name), [])
        if None in wanted and not any(size == -1 for size in dims):
            closed.append(text(tensor.name))
    if closed and piece.options.reshape == "dynamic":
        raise PrecisionNotKept(f"reshape=dynamic: the converter fixed the shapes of {', '.join(closed)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the converters' remarks on their own deprecated parts and on modes that a model only seems to be in."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
