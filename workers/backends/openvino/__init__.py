"""OpenVINO: IR (model.xml, model.bin) from every format that its readers take, run on the CPU plugin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, InvalidOption
from enginehouse.formats import Format
from enginehouse.report import Layer
from enginehouse.targets import Precision, Target
from workers.backends.base import Array, Arrays, Backend, Saved, Session, Setting
from workers.backends.openvino.options import OpenVinoOptions
from workers.backends.options import Options
from workers.backends.workpiece import Source, Workpiece

_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_LOW = (Precision.INT8, Precision.INT4)


class OpenVino(Backend):
    """fp32, fp16 (weights stored in half, computed in f32), bf16 (computed in bf16), int8 and int4 by NNCF.

    What is not quantised is always computed in the precision that ``runtime.json`` names.
    """

    name = "openvino"
    packages = ("openvino",)
    helpers = ("nncf",)
    modules = ("openvino",)
    precisions = (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8, Precision.INT4)
    reads = {
        Format.ONNX: (),
        Format.SAVED_MODEL: (),
        Format.KERAS: ("tensorflow", "keras"),
        Format.TFLITE: (),
        Format.TORCH_EXPORT: ("torch",),
        Format.TORCHSCRIPT: ("torch",),
    }
    options = OpenVinoOptions
    keeps_float = _LOW

    def offered(self) -> tuple[Precision, ...]:
        """Without int8 and int4 where NNCF is missing, without bf16 where the CPU does not compute in it."""
        from workers.sources import available

        return tuple(
            precision
            for precision in self.precisions
            if (precision not in _LOW or available(("nncf",))) and (precision is not Precision.BF16 or _computes_bf16())
        )

    def check(self, target: Target, model_format: str) -> Options:
        """As every backend, and options that contradict each other or the precision. Raises InvalidOption."""
        options = super().check(target, model_format)
        assert isinstance(options, OpenVinoOptions)
        allowed = {Precision.INT8: (None, "static", "accuracy", "weights"), Precision.INT4: (None, "weights")}
        if options.quantization not in allowed.get(target.precision, (None,)):
            raise InvalidOption(
                f"openvino, option 'quantization': {target.precision} does not take {options.quantization}",
                option="quantization",
            )
        return options

    def fed(self, piece: Workpiece, feeds: Arrays) -> tuple[Arrays, Arrays]:
        """Where pre-processing is embedded, the artifact is fed with what comes before it."""
        if not piece.options.preprocess:
            return feeds, feeds
        from workers.backends.openvino.feeding import fed

        return fed(feeds, piece.options.preprocess)

    def _read_impl(self, piece: Workpiece) -> Any:
        from workers.backends.openvino.convert import read

        return read(piece, self._source(piece))

    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any:
        from workers.backends.openvino.convert import prepare

        return prepare(piece, self._source(piece), model)

    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved:
        from workers.backends.openvino.convert import save

        return save(piece, model, folder)

    def _load_impl(self, saved: Saved, options: OpenVinoOptions, setting: Setting) -> Session:
        from workers.backends.openvino.run import OpenVinoSession

        return OpenVinoSession(saved, setting)

    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        from workers.backends.openvino.explain import layers
        from workers.backends.openvino.precision import check_executed

        found = layers(piece, self._source(piece), saved, threads, feeds)
        check_executed(piece, found)
        return found

    def inside(self, piece: Workpiece, saved: Saved, feeds: Arrays, wanted: Arrays) -> dict[str, Array]:
        """See Backend. An IR keeps the names of ONNX's tensors."""
        from workers.backends.openvino.inside import values

        return values(saved, feeds, wanted, piece.threads)

    def keepable(self, piece: Workpiece, names: Sequence[str]) -> list[str]:
        """See Backend. Not what the converter fused into other nodes without a trace."""
        from workers.backends.openvino.inside import known

        return known(piece, self._source(piece), names)

    def _reproduce_impl(self, piece: Workpiece) -> str:
        from workers.backends.openvino.reproduce import script

        return script(piece, piece.source if self.direct(piece) else None)

    def _error_impl(self, error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
        from workers.backends.openvino.failures import named

        return named(error, otherwise, source)

    def _source(self, piece: Workpiece) -> Source:
        return piece.source if self.direct(piece) else piece.onnx


@cache
def _computes_bf16() -> bool:
    from workers.probe.cpu import read_cpu

    return bool(_BF16 & set(read_cpu().isa))


BACKEND = OpenVino()
