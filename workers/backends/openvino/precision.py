"""Whether an artifact is what was asked for: what its weights are stored in, and what its layers are computed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openvino

from enginehouse.errors import PrecisionNotKept
from enginehouse.report import Layer
from enginehouse.targets import Precision
from workers.backends.openvino import graph
from workers.backends.workpiece import Workpiece

WEIGHTED = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq", "MHA")
_EIGHT = ("i8", "u8")


def check_stored(piece: Workpiece, path: Path) -> None:
    """Read the IR back. Raises PrecisionNotKept."""
    model = openvino.Core().read_model(path)
    stored = graph.stored(model)
    precision = piece.precision
    floats = sum(stored[kind] for kind in ("f32", "f64", "f16", "bf16"))
    if precision is Precision.FP16 and floats and not stored["f16"]:
        raise _missing(
            piece, "no weight is stored in half precision", "The weights exceed the range of half precision."
        )
    if precision is Precision.INT8 and piece.options.quantization == "weights" and not (stored["i8"] or stored["u8"]):
        raise _missing(
            piece,
            "NNCF found no weights that it compresses to eight bits (it looks at embeddings, convolutions and matrix "
            "products outside of branches and loops)",
            "Choose quantization=static, or fp16.",
        )
    if precision is Precision.INT8 and piece.options.quantization != "weights" and not graph.fake_quantizes(model):
        raise _missing(
            piece,
            "NNCF found nothing to quantise (it looks at convolutions, matrix products and the like)",
            "Choose quantization=weights, fp16 or bf16.",
        )
    if precision is Precision.INT4 and not (stored["i4"] or stored["u4"]):
        raise _missing(
            piece,
            "no weight is stored in four bits: NNCF keeps convolutions, and by default embeddings and the last matrix "
            "product, in eight",
            "Set all_layers=true, or group_size=-1 where layers are small; or choose int8 with quantization=weights.",
        )


def check_executed(piece: Workpiece, layers: Sequence[Layer]) -> None:
    """Look at the layers that the runtime made. Raises PrecisionNotKept."""
    weighted = [layer for layer in layers if layer.type in WEIGHTED]
    if piece.precision is Precision.BF16 and weighted and not any(layer.precision == "bf16" for layer in weighted):
        raise _missing(
            piece, "no convolution and no matrix product is computed in bf16", "Choose fp32 on this hardware."
        )
    if piece.precision is Precision.INT8 and piece.options.quantization != "weights":
        looked_at = weighted or layers
        eight = sum(layer.precision in _EIGHT for layer in looked_at)
        if eight:
            what = "convolutions and matrix products" if weighted else "layers"
            piece.notes.say(f"{eight} of {len(looked_at)} {what} compute in eight bits")
        elif "INT8" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise _missing(piece, "no layer is computed in eight bits", "Choose fp16 or bf16.")
        else:
            piece.notes.say("this CPU computes in float what is quantised here: it has no eight-bit kernels")


def _missing(piece: Workpiece, what: str, advice: str) -> PrecisionNotKept:
    return PrecisionNotKept(f"{piece.target}: {what}", advice=advice, precision=str(piece.precision))
