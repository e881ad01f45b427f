"""The part of the script that makes an ov.Model of the source."""

from __future__ import annotations

from collections.abc import Iterator

from enginehouse.formats import Format
from enginehouse.shapes import has_rank
from workers.backends.workpiece import Source, Workpiece

_FUSED = """
import re

from openvino._offline_transformations import (
    apply_fused_names_cleanup,
    apply_moc_transformations,
    compress_quantize_weights_transformation,
)
from openvino.frontend import FrontEndManager
from openvino.preprocess import PrePostProcessor

# Once more, by the steps of openvino.convert_model, with a look at what was fused: OpenVINO makes names up anew with
# every conversion, and these tell which of its nodes stand for the ignored ones.
reader = FrontEndManager().load_by_framework("onnx")
model = PrePostProcessor(reader.convert(reader.load({path!r}))).build()
apply_moc_transformations(model, cf=False, smart_reshape=True)
compress_quantize_weights_transformation(model)
own, taken = {{}}, set()
for node in model.get_ordered_ops():
    if node.get_type_name() in ("Constant", "Result"):
        continue
    name, info = node.get_friendly_name(), node.get_rt_info()
    fused = info["fused_names_0"].astype(str).split(",") if "fused_names_0" in info else []
    own[name] = {{name, *(one for one in fused if one not in taken)}}
    taken.update(fused)
apply_fused_names_cleanup(model)
"""

_PRUNE = """
source = Path({path!r}){made}
graph, folder = load_model(source), source.parent.resolve()
zeroed = prune_model(graph, folder, {pattern!r}, {share})
print("share of weights that are zero:", zeroed.total)
Path("pruned").mkdir(exist_ok=True)
save_model(graph, folder, Path("pruned/model.onnx"))
"""


def reading(piece: Workpiece, source: Source | None, ignoring: bool) -> str:
    """The model as ``model``. ``ignoring``: with the names of the source's nodes as ``own``, where OpenVINO has them.

    ``source``: what OpenVINO reads; None where the farm makes ONNX of the model, or prunes it, first.
    """
    if source is not None and source.format is not Format.ONNX:
        return "\n".join(_direct(source)) + "\n" + ("\nimport re\n\nown = {}\n" if ignoring else "")
    onnx = piece.source.format is Format.ONNX
    path = piece.source.path.name if onnx else "intermediate.onnx"
    made = "" if onnx else f"  # the ONNX that the farm made of the {piece.source.format} model"
    if piece.altered:
        from workers.stages.embed import embedded

        stages = embedded("graph", "operators", "sparsity")
        told = {"pattern": piece.options.prune, "share": piece.options.prune_share}
        before = f"from pathlib import Path\n\n{stages}\n" + _PRUNE.format(path=path, made=made, **told)
        path, made = "pruned/model.onnx", ""
    else:
        before = ""
    if ignoring:
        return before + _FUSED.format(path=path)
    return f"{before}model = openvino.convert_model({path!r}){made}\n"


def _direct(source: Source) -> Iterator[str]:
    """By the frontend that the format calls for."""
    name = repr(source.path.name)
    if source.format is Format.SAVED_MODEL:
        yield "import pathlib, shutil"
        yield f'shutil.unpack_archive({name}, "saved_model")'
        yield 'folder = next(pathlib.Path("saved_model").rglob("saved_model.pb")).parent'
        yield "model = openvino.convert_model(folder)"
    elif source.format is Format.KERAS:
        yield "import os"
        yield 'os.environ["KERAS_BACKEND"] = "tensorflow"'
        yield "import keras"
        yield f'keras.saving.load_model({name}, compile=False, safe_mode=True).export("saved_model")'
        yield 'model = openvino.convert_model("saved_model")'
    elif source.format is Format.TORCH_EXPORT:
        yield "import torch"
        yield f"model = openvino.convert_model(torch.export.load({name}))"
    elif source.format is Format.TORCHSCRIPT:
        inputs = source.signature.inputs
        known = [
            f"(openvino.PartialShape({_partial(spec.shape)}), openvino.Type.{_ov(spec.dtype)})"
            for spec in inputs
            if has_rank(spec)
        ]
        yield "import torch"
        yield f'module = torch.jit.load({name}, map_location="cpu").eval()'
        told = f", input=[{', '.join(known)}]" if len(known) == len(inputs) else ""
        yield f"model = openvino.convert_model(module{told})"
    else:
        yield f"model = openvino.convert_model({name})"


def _partial(shape: list[int | str | None]) -> list[int]:
    return [dim if isinstance(dim, int) and dim > 0 else -1 for dim in shape]


def _ov(dtype: str) -> str:
    """OpenVINO's name of an element type: 'f32' of 'float32'."""
    short = {"float": "f", "uint": "u", "int": "i"}
    for word, letter in short.items():
        if dtype.startswith(word):
            return letter + dtype.removeprefix(word)
    return "boolean" if dtype == "bool" else dtype
