"""OpenVINO: ONNX in, IR (model.xml, model.bin) out, run on the CPU plugin."""

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


class OpenVinoOptions(Calibrated):
    """Runtime settings under which the artifact is verified and timed. They do not change its bytes."""

    hint: Literal["latency", "throughput"] = Field(default="latency", description="PERFORMANCE_HINT")
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="INFERENCE_NUM_THREADS, also the baseline's; default: physical cores"
    )


class OpenVino(Backend):
    """fp32 keeps the weights as they are; fp16 stores them in half precision. Both are run in f32."""

    name = "openvino"
    packages = ("openvino",)
    modules = ("openvino",)
    precisions = (Precision.FP32, Precision.FP16)
    reads = {Format.ONNX: ()}
    options = OpenVinoOptions

    def _read_impl(self, piece: Workpiece) -> Any:
        from workers.backends.openvino.convert import read

        return read(piece.onnx.path)

    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any:
        return model  # weights are compressed while they are written

    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved:
        from workers.backends.openvino.convert import save

        return save(model, piece.precision, folder)

    def _load_impl(self, saved: Saved, options: OpenVinoOptions, setting: Setting) -> Session:
        from workers.backends.openvino.run import OpenVinoSession

        return OpenVinoSession(saved.path, options.hint, setting)

    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        from workers.backends.openvino.explain import layers

        return layers(saved.path, piece.options.hint, threads, feeds)

    def _reproduce_impl(self, piece: Workpiece) -> str:
        from workers.backends.openvino.reproduce import script

        return script(piece)

    def _error_impl(self, error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
        from workers.backends.openvino.convert import named

        return named(error, otherwise, source)


BACKEND = OpenVino()
