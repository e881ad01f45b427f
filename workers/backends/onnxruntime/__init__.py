"""ONNX Runtime: ONNX in, an offline-optimised ONNX out, run on the CPU execution provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from enginehouse.errors import BuildError
from enginehouse.formats import Format
from enginehouse.report import Layer
from enginehouse.targets import Precision
from workers.backends.base import Arrays, Backend, Saved, Session, Setting
from workers.backends.options import Calibrated
from workers.backends.workpiece import Source, Workpiece

Level = Literal["basic", "extended", "all"]


class OnnxRuntimeOptions(Calibrated):
    """How far the graph is optimised offline, and how it is run."""

    level: Level = Field(
        default="extended",
        description="offline graph optimisation; 'all' adds memory layouts that are bound to the CPU it is built on",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="intra-operator threads, also the baseline's; default: physical cores"
    )


class OnnxRuntime(Backend):
    """fp16 holds weights and activations in half precision behind float32 inputs and outputs."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")
    modules = ("onnxruntime", "onnx")
    precisions = (Precision.FP32, Precision.FP16)
    reads = {Format.ONNX: ()}
    options = OnnxRuntimeOptions

    def _read_impl(self, piece: Workpiece) -> Any:
        from workers.backends.onnxruntime.convert import read

        return read(piece.onnx, piece.options.level, piece.work)

    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any:
        from workers.backends.onnxruntime.convert import prepare

        return prepare(model, piece.precision)

    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved:
        from workers.backends.onnxruntime.convert import save

        return save(model, folder)

    def _load_impl(self, saved: Saved, options: OnnxRuntimeOptions, setting: Setting) -> Session:
        from workers.backends.onnxruntime.run import OnnxRuntimeSession

        return OnnxRuntimeSession(saved.path, setting, optimise=options.level != "all")

    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        from workers.backends.onnxruntime.explain import layers

        return layers(piece.onnx.path, saved.path, threads, piece.options.level != "all", feeds)

    def _reproduce_impl(self, piece: Workpiece) -> str:
        from workers.backends.onnxruntime.reproduce import script

        return script(piece)

    def _error_impl(self, error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
        from workers.backends.onnxruntime.convert import named

        return named(error, otherwise)


BACKEND = OnnxRuntime()
