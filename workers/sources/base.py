"""What a source format is: how its own framework runs it (the reference), and how it becomes ONNX.

One file a format. The source's signature names inputs and outputs; a reference and an ONNX made from it keep these
names and their order, whatever the framework calls them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from enginehouse.errors import BuildError, ConversionFailed, EnginehouseError, ReferenceFailed
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature
from workers.backends.base import Session, Setting, first_line
from workers.backends.workpiece import Source, Workpiece


class SourceFormat(ABC):
    """A format. Instances hold no state; every method may be called in a child process of its own."""

    name: ClassVar[Format]
    modules: ClassVar[tuple[str, ...]]
    """what must be importable to run it as the reference"""
    onnx_modules: ClassVar[tuple[str, ...]]
    """what must be importable to make ONNX of it"""
    packages: ClassVar[tuple[str, ...]] = ()
    """distributions whose versions decide what comes of it"""

    # -- checked, then done by the format -----------------------------------------------------

    def reference(self, source: Source, setting: Setting, work: Path) -> Session:
        """The source model in its own framework, FP32, CPU, ``setting.threads`` threads. Raises ReferenceFailed."""
        try:
            return self._reference_impl(source, setting, work)
        except (EnginehouseError, MemoryError):
            raise
        except Exception as error:
            detail = f"the reference cannot load the source model: {first_line(error)}"
            raise ReferenceFailed(detail) from error

    def to_onnx(self, piece: Workpiece) -> Source:
        """The model as an ONNX file in ``piece.work``, with the source's names. Raises UnsupportedOperator and kin."""
        try:
            return self._kept(piece, piece.made_onnx) if piece.made_onnx else self._to_onnx_impl(piece)
        except (EnginehouseError, MemoryError):
            raise
        except Exception as error:
            raise self._error_impl(error, ConversionFailed) from error

    def runtime(self) -> str:
        """What runs the reference, for the report: 'torch 2.13.0 fp32 cpu'."""
        return self._runtime_impl()

    def nodes(self, source: Source, work: Path) -> list[str]:
        """Names of the source's own nodes, for the layer report; empty where the format names none."""
        return []

    def _kept(self, piece: Workpiece, folder: Path) -> Source:
        """The ONNX that was made before for another piece of the same source, else made now for those to come."""
        note = folder / "made.json"
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            made = self._to_onnx_impl(replace(piece, work=folder))
            note.write_text(json.dumps([str(made.path), made.signature.model_dump(mode="json")]))
        path, signature = json.loads(note.read_text())
        return Source(Path(path), ModelSignature.model_validate(signature))

    # -- what a format writes -----------------------------------------------------------------

    @abstractmethod
    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session: ...

    @abstractmethod
    def _to_onnx_impl(self, piece: Workpiece) -> Source: ...

    @abstractmethod
    def _runtime_impl(self) -> str: ...

    def _error_impl(self, error: Exception, otherwise: type[BuildError]) -> BuildError:
        """The framework's exception as one of ours. A format that can name the operator overrides it."""
        return otherwise(f"{self.name}: {first_line(error)}")
