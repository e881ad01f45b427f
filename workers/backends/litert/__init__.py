"""LiteRT (TensorFlow Lite): one .tflite file, run by LiteRT's interpreter on the CPU.

.tflite files are taken as they are; SavedModels and Keras models go through TensorFlow's converter, torch.export
programs through LiteRT Torch, everything else through ONNX, which ``importer`` makes a TensorFlow function of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, InvalidOption
from enginehouse.formats import Format
from enginehouse.report import Layer
from enginehouse.targets import Precision, Target
from workers.backends.base import Array, Arrays, Backend, Saved, Session, Setting
from workers.backends.litert.options import LiteRtOptions
from workers.backends.options import Options
from workers.backends.workpiece import Source, Workpiece
from workers.sources import available


class LiteRt(Backend):
    """fp32 as it is; fp16 stores every constant in half precision; int8 by the AI Edge Quantizer."""

    name = "litert"
    packages = ("ai-edge-litert",)
    helpers = ("ai-edge-quantizer", "tensorflow-cpu", "tensorflow", "onnx")
    modules = ("ai_edge_litert",)
    precisions = (Precision.FP32, Precision.FP16, Precision.INT8)
    reads = {
        Format.ONNX: ("tensorflow", "onnx"),
        Format.TFLITE: (),
        Format.SAVED_MODEL: ("tensorflow",),
        Format.KERAS: ("tensorflow", "keras"),
        Format.TORCH_EXPORT: ("litert_torch", "torch"),
    }
    options = LiteRtOptions
    keeps_float = (Precision.INT8,)

    def offered(self) -> tuple[Precision, ...]:
        """int8 where the quantizer is installed."""
        if available(("ai_edge_quantizer",)):
            return self.precisions
        return tuple(one for one in self.precisions if one is not Precision.INT8)

    def check(self, target: Target, model_format: str) -> Options:
        """See Backend. Integer inputs are of int8 alone."""
        options = super().check(target, model_format)
        if isinstance(options, LiteRtOptions) and options.io == "int8" and target.precision is not Precision.INT8:
            raise InvalidOption(f"{self.name}, option 'io': int8 goes with the precision int8 only", option="io")
        return options

    def _read_impl(self, piece: Workpiece) -> Any:
        from workers.backends.litert.convert import read

        return read(piece, self.direct(piece))

    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any:
        from workers.backends.litert.convert import prepare

        return prepare(piece, model)

    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved:
        from workers.backends.litert.convert import save

        return save(piece, model, folder)

    def _load_impl(self, saved: Saved, options: LiteRtOptions, setting: Setting) -> Session:
        from workers.backends.litert.run import LiteRtSession

        return LiteRtSession(saved.path, setting, options.xnnpack)

    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        from workers.backends.litert.explain import layers

        return layers(piece, saved.path, threads, feeds)

    def inside(self, piece: Workpiece, saved: Saved, feeds: Arrays, wanted: Arrays) -> dict[str, Array]:
        """See Backend. Computed by the built-in kernels: XNNPACK's show nothing of their inside."""
        from workers.backends.litert.inside import values

        return values(piece, saved.path, feeds, wanted)

    def keepable(self, piece: Workpiece, names: Sequence[str]) -> list[str]:
        """See Backend. What an operator of the file stands for."""
        from workers.backends.litert.convert import FLOAT
        from workers.backends.litert.inside import known

        return known(piece, piece.work / FLOAT, names)

    def _reproduce_impl(self, piece: Workpiece) -> str:
        from workers.backends.litert.reproduce import script

        return script(piece, self.direct(piece))

    def _error_impl(self, error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
        from workers.backends.litert.failures import named

        return named(error, otherwise)


BACKEND = LiteRt()
