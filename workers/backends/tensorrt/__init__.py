"""TensorRT 10 and 11 by one strongly typed path: ONNX in, an engine for one kind of GPU out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from enginehouse.formats import Format
from enginehouse.report import Layer
from enginehouse.targets import Precision, Target
from workers.backends.base import Arrays, Backend, Saved, Session, Setting
from workers.backends.tensorrt.options import TensorRtOptions
from workers.backends.workpiece import Workpiece

if TYPE_CHECKING:
    from workers.probe.nvidia import Card

_SINCE = {Precision.TF32: (8, 0), Precision.BF16: (8, 0), Precision.FP8: (8, 9)}
"""Compute capabilities that a precision needs; the others run on every GPU that TensorRT 10 and 11 know."""


class TensorRt(Backend):
    """The precision is in the graph (see ``typed``). An engine that is not what was asked for is refused."""

    name = "tensorrt"
    packages = ("cuda-bindings", "onnx")
    modules = ("tensorrt", "cuda.bindings.runtime", "onnx")
    precisions = (
        Precision.FP32,
        Precision.TF32,
        Precision.FP16,
        Precision.BF16,
        Precision.INT8,
        Precision.FP8,
    )
    reads = {Format.ONNX: ()}
    options = TensorRtOptions
    keeps_float = (Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)
    bounds = True
    tags = ("nvidia-gpu",)
    start_method = "exec"

    def toolchain(self) -> dict[str, str]:
        """See Backend. TensorRT's own distribution has several names."""
        from workers.backends.tensorrt.versions import installed

        name, version = installed()
        return {name: version, **super().toolchain()}

    def offered(self) -> tuple[Precision, ...]:
        """Those that every GPU here has; all of them where the driver shows none."""
        from workers.probe.nvidia import cards

        capabilities = [card.gpu.compute_capability for card in cards()]
        known = [tuple(int(part) for part in one.split(".")) for one in capabilities if one]
        weakest = min(known, default=(99, 0))
        return tuple(one for one in self.precisions if weakest >= _SINCE.get(one, (0, 0)))

    def machine_lacks(self) -> str | None:
        """A GPU that CUDA sees and TensorRT's libraries work with."""
        import tensorrt as trt

        from workers.backends.tensorrt.device import CudaError, device
        from workers.backends.tensorrt.messages import messages

        try:
            device()
            trt.Runtime(messages())
        except (CudaError, TypeError) as error:  # TypeError: the bindings' word for a library that gave nothing
            return f"no GPU that TensorRT can use: {error}"
        return None

    def kept_label(self, target: Target, card: Card | None) -> str | None:
        """The timing cache's: for one GPU, TensorRT and CUDA."""
        from workers.backends.tensorrt.timing_cache import label
        from workers.backends.tensorrt.versions import installed

        if card is None or not target.options.get("timing_cache", True):
            return None
        name, version = installed()
        return label(card.gpu.name, card.gpu.compute_capability or "", f"{version} ({name})", card.cuda)

    def _read_impl(self, piece: Workpiece) -> Any:
        from workers.backends.tensorrt.profiles import profiles_of

        # What nothing bounds is refused before anything is converted or calibrated.
        profiles_of(piece.source.signature.inputs, piece.shapes, piece.profiles)
        return piece.onnx

    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any:
        from workers.backends.tensorrt.typed import typed

        return typed(piece)

    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved:
        from workers.backends.tensorrt.convert import save

        return save(piece, model, folder)

    def _load_impl(self, saved: Saved, options: TensorRtOptions, setting: Setting) -> Session:
        from workers.backends.tensorrt.run import TensorRtSession

        return TensorRtSession(saved)

    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        from workers.backends.tensorrt.explain import layers

        return layers(saved, feeds)

    def _reproduce_impl(self, piece: Workpiece) -> str:
        from workers.backends.tensorrt.reproduce import script

        return script(piece)


BACKEND = TensorRt()

__all__ = ["BACKEND", "TensorRt"]
