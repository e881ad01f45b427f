"""ONNX: run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from enginehouse.errors import ReferenceFailed
from enginehouse.formats import Format
from workers.backends.base import Session, Setting
from workers.backends.workpiece import Source, Workpiece
from workers.sources.base import SourceFormat


class OnnxFile(SourceFormat):
    """The source is the ONNX file."""

    name = Format.ONNX
    modules = ("onnx", "onnxruntime")
    onnx_modules = ()
    packages = ("onnx", "onnxruntime")

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        from workers.backends.onnxruntime.failures import named
        from workers.backends.onnxruntime.modern import modern
        from workers.backends.onnxruntime.run import OnnxRuntimeSession

        try:
            return OnnxRuntimeSession(modern(source), setting)
        except Exception as error:
            reason = named(error, ReferenceFailed)
            detail = f"the reference cannot load the source model: {reason.detail}"
            raise ReferenceFailed(detail, advice=reason.hint, **reason.where) from error

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        return piece.source

    def _runtime_impl(self) -> str:
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__} fp32 cpu"

    def nodes(self, source: Source, work: Path) -> list[str]:
        """Names of the graph's nodes but constants; a node without one goes by its first output."""
        import onnx

        graph = onnx.load(source.path, load_external_data=False).graph
        return [node.name or next(iter(node.output), "") for node in graph.node if node.op_type != "Constant"]


FORMAT = OnnxFile()
