"""ONNX Runtime: ONNX in, an offline-optimised .onnx or .ort out, run on the CPU or CUDA execution provider."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from enginehouse.errors import BuildError
from enginehouse.formats import Format
from enginehouse.report import Layer
from enginehouse.targets import Precision
from workers.backends.base import Array, Arrays, Backend, Saved, Session, Setting
from workers.backends.options import Calibrated
from workers.backends.workpiece import Source, Workpiece

Level = Literal["basic", "extended", "all"]

_WITH_CUDA = "onnxruntime-gpu"
"""The distribution that has the CUDA provider, and the same modules."""


class OnnxRuntimeOptions(Calibrated):
    """How far the graph is optimised offline, how it is written, quantised and run."""

    level: Level = Field(
        default="extended",
        description="offline graph optimisation; 'all' adds memory layouts that are bound to the CPU it is built on",
    )
    form: Literal["onnx", "ort"] = Field(
        default="onnx", description="the artifact: model.onnx, or model.ort for ONNX Runtime's small builds"
    )
    provider: Literal["cpu", "cuda"] = Field(
        default="cpu", description="where it runs; cuda needs a worker with ONNX Runtime for CUDA"
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="intra-operator threads, also the baseline's; default: physical cores"
    )
    keep_float_types: tuple[str, ...] = Field(
        default=(), max_length=1_000, description="fp16, int8: operator types that stay in float32, such as Softmax"
    )
    quantization: Literal["static", "dynamic", "weights"] | None = Field(
        default=None,
        description="int8: static (ranges from calibration samples; the default), dynamic (activations while it runs) "
        "or weights (of matrix products only, computed in float)",
    )
    operators: Literal["weighted", "all"] = Field(
        default="weighted",
        description="static int8: the operators with weights and their activations, or all that have INT8 kernels",
    )
    method: Literal["MinMax", "Entropy", "Percentile"] = Field(
        default="MinMax", description="static int8: how ranges are taken from the calibration samples"
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="static int8, method Percentile: the share of values within a range"
    )
    per_channel: bool = Field(default=True, description="int8: weights have a scale for each output channel")
    activation: Literal["uint8", "int8"] = Field(
        default="uint8", description="static int8: activations with a zero point (x86), or symmetric (Arm)"
    )


class OnnxRuntime(Backend):
    """fp16 and int8 stand behind the source model's own inputs and outputs.

    No bf16: the CPU provider has no kernels for it (1.31 refuses Conv, MatMul, Add and Relu).
    """

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")
    modules = ("onnxruntime", "onnx")
    precisions = (Precision.FP32, Precision.FP16, Precision.INT8)
    keeps_float = (Precision.FP16, Precision.INT8)
    reads = {Format.ONNX: ()}
    options = OnnxRuntimeOptions

    def toolchain(self) -> dict[str, str]:
        """The distribution for CUDA counts as ONNX Runtime too."""
        with suppress(importlib.metadata.PackageNotFoundError):
            return {_WITH_CUDA: importlib.metadata.version(_WITH_CUDA), "onnx": importlib.metadata.version("onnx")}
        return super().toolchain()

    def _read_impl(self, piece: Workpiece) -> Any:
        from workers.backends.onnxruntime.convert import read

        return read(piece)

    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any:
        from workers.backends.onnxruntime.convert import prepare

        return prepare(piece, model)

    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved:
        from workers.backends.onnxruntime.convert import save

        return save(piece, model, folder)

    def _load_impl(self, saved: Saved, options: OnnxRuntimeOptions, setting: Setting) -> Session:
        from workers.backends.onnxruntime.run import OnnxRuntimeSession

        return OnnxRuntimeSession(saved.path, setting, optimise=options.level != "all", provider=options.provider)

    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        from workers.backends.onnxruntime.explain import layers

        optimise = piece.options.level != "all"
        return layers(
            saved.path, piece.work, Setting(threads), feeds, optimise=optimise, provider=piece.options.provider
        )

    def inside(self, piece: Workpiece, saved: Saved, feeds: Arrays, wanted: Arrays) -> dict[str, Array]:
        """See Backend. Of the graph before its last optimisation, which fuses rounding and operators."""
        from workers.backends.onnxruntime.inside import values

        return values(piece, feeds, wanted)

    def keepable(self, piece: Workpiece, names: Sequence[str]) -> list[str]:
        """See Backend. Not what the optimiser folded away."""
        from workers.backends.onnxruntime.lower import known_names

        return known_names(piece, names)

    def _reproduce_impl(self, piece: Workpiece) -> str:
        from workers.backends.onnxruntime.reproduce import script

        return script(piece)

    def _error_impl(self, error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
        from workers.backends.onnxruntime.failures import named

        return named(error, otherwise, source)


BACKEND = OnnxRuntime()
