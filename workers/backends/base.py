"""What a backend is. The base class checks and calls the ``_impl`` that a backend writes.

A backend is a folder: ``__init__.py`` declares it, ``convert.py`` turns the source model into files,
``run.py`` loads them again and runs them, ``explain.py`` tells what the runtime made of them, ``reproduce.py``
writes the script that does the same outside the farm.
"""

from __future__ import annotations

import importlib.metadata
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from enginehouse.capability import Capability
from enginehouse.errors import (
    BuildError,
    CompileFailed,
    ConversionFailed,
    EnginehouseError,
    InvalidOption,
    MemoryExceeded,
    UnknownPrecision,
    UnsupportedFormat,
)
from enginehouse.formats import Format
from enginehouse.report import Layer
from enginehouse.targets import Precision, Target
from workers.backends.options import Options
from workers.backends.workpiece import Source, Workpiece

if TYPE_CHECKING:
    from workers.probe.nvidia import Card

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

_OUT_OF_MEMORY = re.compile(r"bad_?alloc|bad allocation|cannot allocate memory|failed to allocate|out of memory", re.I)


@dataclass(frozen=True)
class Saved:
    """Files in the bundle's folder. ``entry`` is what the runtime loads.

    ``settings``: what the manifest says of them in any case, also where nothing was verified or timed.
    """

    folder: Path
    entry: str
    files: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The entry's place on disk."""
        return self.folder / self.entry


@dataclass(frozen=True)
class Setting:
    """How a session is loaded: number of threads, whether each layer is timed, inferences that run side by side.

    ``threads``: of all streams together. ``streams`` None: as the artifact itself says.
    """

    threads: int
    profiling: bool = False
    streams: int | None = None

    @property
    def per_stream(self) -> int:
        """Threads of one stream."""
        return max(1, self.threads // (self.streams or 1))


class Session(ABC):
    """A loaded model, ready to run."""

    @abstractmethod
    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference: input name to array in, output name to array out."""

    def beside(self) -> Session | None:
        """The same loaded model for another thread, to run at the same time as this one; None where that cannot be."""
        return None

    def takes(self, feeds: Arrays) -> bool:
        """Whether the artifact was made for inputs of these shapes. Fixed and bounded shapes leave out others."""
        return True

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The runtime settings that change speed or numbers, read back from the runtime where it tells them."""


class Backend(ABC):
    """A toolchain. Instances hold no state; every method may be called in a child process of its own."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """distributions whose versions make up the toolchain"""
    helpers: ClassVar[tuple[str, ...]] = ()
    """distributions that some precisions need; their versions count where they are installed"""
    modules: ClassVar[tuple[str, ...]]
    """what must import for the backend to be offered; loaded once in the warm parent"""
    precisions: ClassVar[tuple[Precision, ...]]
    reads: ClassVar[Mapping[Format, tuple[str, ...]]]
    """format to the modules that reading it as it is takes beyond ``modules``; other formats go through ONNX"""
    options: ClassVar[type[Options]] = Options
    keeps_float: ClassVar[tuple[Precision, ...]] = ()
    """the precisions in which single nodes can stay in float"""
    bounds: ClassVar[bool] = False
    """whether dynamic dimensions need shapes or profiles"""
    tags: ClassVar[tuple[str, ...]] = ("cpu",)
    start_method: ClassVar[Literal["fork", "exec"]] = "fork"
    """'fork' from the warm parent, or 'exec' afresh (CUDA does not survive a fork)"""

    # -- declared -----------------------------------------------------------------------------

    def toolchain(self) -> dict[str, str]:
        """Package to version, without importing any of them. Raises importlib.metadata.PackageNotFoundError."""
        found = {package: importlib.metadata.version(package) for package in self.packages}
        for package in self.helpers:
            with suppress(importlib.metadata.PackageNotFoundError):
                found[package] = importlib.metadata.version(package)
        return found

    def offered(self) -> tuple[Precision, ...]:
        """The precisions that this installation has the helpers for."""
        return self.precisions

    def formats(self) -> list[Format]:
        """The formats that this installation takes: read as they are, or through ONNX, and run as the reference."""
        from workers.sources import available, get, known

        found = []
        for each in known():
            source = get(each)
            direct = each in self.reads and available(self.reads[each])
            through = Format.ONNX in self.reads and available(source.onnx_modules)
            if available(source.modules) and (direct or through):
                found.append(each)
        return found

    def machine_lacks(self) -> str | None:
        """What the machine lacks for the toolchain, in words; None: nothing. Asked where no build will run."""
        return None

    def kept_label(self, target: Target, card: Card | None) -> str | None:
        """For whom what the toolchain keeps between builds is (``workers.backends.kept``); None: it keeps nothing.

        ``card``: the GPU that the build holds. Called by the agent, which loads no toolchain.
        """
        return None

    def capability(self) -> Capability:
        """What a worker with this toolchain announces."""
        from workers.sources import versions

        formats = self.formats()
        return Capability(
            backend=self.name,
            toolchain={**versions(formats), **self.toolchain()},
            precisions=list(self.offered()),
            formats=[str(each) for each in formats],
            options_schema=self.options.model_json_schema(),
            tags=list(self.tags),
            bounds=self.bounds,
        )

    # -- checked, then done by the backend ----------------------------------------------------

    def check(self, target: Target, model_format: str) -> Options:
        """The target's options, or UnknownPrecision, UnsupportedFormat, InvalidOption."""
        if target.precision not in self.offered():
            known = ", ".join(self.offered())
            raise UnknownPrecision(f"{self.name} offers {known}, not {target.precision}", precision=target.precision)
        formats = self.formats()
        if model_format not in formats:
            raise UnsupportedFormat(f"{self.name} reads {', '.join(formats)}, not {model_format}", format=model_format)
        try:
            options = self.options.model_validate(target.options)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise InvalidOption(f"{self.name}, option '{name}': {first['msg']}", option=name) from None
        self._check_keeping(target.precision, options)
        return options

    def _check_keeping(self, precision: Precision, options: Options) -> None:
        """Raise InvalidOption where nodes are to stay in float, and the precision is one that takes in all of them."""
        if precision in (Precision.FP32, Precision.TF32, *self.keeps_float):
            return
        for name in ("keep_float", "mixed"):
            if getattr(options, name, False):
                able = ", ".join(self.keeps_float)
                raise InvalidOption(
                    f"{self.name}, option '{name}': {precision} takes in the whole model; nodes stay float in {able}",
                    option=name,
                )

    def direct(self, piece: Workpiece) -> bool:
        """Whether the toolchain reads the source as it is; if not, take ``piece.onnx``."""
        return piece.source.format in self.reads and not piece.altered

    def fed(self, piece: Workpiece, feeds: Arrays) -> tuple[Arrays, Arrays]:
        """A sample as the artifact takes it, and the same as the source model does: one and the same as a rule.

        They differ where the artifact embeds the pre-processing: it takes what comes before it.
        """
        return feeds, feeds

    def read(self, piece: Workpiece) -> object:
        """The toolchain's own form of the source model. Raises UnsupportedOperator, ConversionFailed."""
        with self._errors(ConversionFailed, piece.source):
            return self._read_impl(piece)

    def prepare(self, piece: Workpiece, model: object) -> object:
        """The model in the precision that was asked for. Raises ConversionFailed, CalibrationFailed."""
        with self._errors(ConversionFailed, piece.source):
            return self._prepare_impl(piece, model)

    def save(self, piece: Workpiece, model: object, folder: Path) -> Saved:
        """Write the files that the runtime loads. Raises ConversionFailed, PrecisionNotKept."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._errors(ConversionFailed, piece.source):
            return self._save_impl(piece, model, folder)

    def load(self, saved: Saved, options: Options, setting: Setting) -> Session:
        """Compile the files for this machine. Raises CompileFailed."""
        with self._errors(CompileFailed, None):
            return self._load_impl(saved, options, setting)

    def explain(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
        """The executed layers, with times from a few profiled inferences. Raises CompileFailed."""
        with self._errors(CompileFailed, piece.source):
            return self._explain_impl(piece, saved, threads, feeds)

    def inside(self, piece: Workpiece, saved: Saved, feeds: Arrays, wanted: Arrays) -> dict[str, Array]:
        """What the artifact computes for floating tensors of ``piece.graph``, by their names.

        ``wanted``: the source model's own values of them, by which a backend that lays tensors out anew finds their
        axes. What the artifact no longer has is missing; all is, from a backend that shows nothing of its inside.
        """
        return {}

    def keepable(self, piece: Workpiece, names: Sequence[str]) -> list[str]:
        """Those of these nodes of ``piece.graph`` that keep_float takes. Asked after a build of the piece."""
        return list(names)

    def reproduce(self, piece: Workpiece) -> str:
        """A Python script that does the toolchain's own steps on the source's files, without the farm."""
        return self._reproduce_impl(piece)

    @contextmanager
    def _errors(self, otherwise: type[BuildError], source: Source | None) -> Iterator[None]:
        try:
            yield
        except (EnginehouseError, MemoryError):
            raise
        except Exception as error:
            if _OUT_OF_MEMORY.search(str(error)):
                raise MemoryExceeded(f"{self.name}: {first_line(error)}") from error
            raise self._error_impl(error, otherwise, source) from error

    # -- what a backend writes ----------------------------------------------------------------

    @abstractmethod
    def _read_impl(self, piece: Workpiece) -> Any: ...

    @abstractmethod
    def _prepare_impl(self, piece: Workpiece, model: Any) -> Any: ...

    @abstractmethod
    def _save_impl(self, piece: Workpiece, model: Any, folder: Path) -> Saved: ...

    @abstractmethod
    def _load_impl(self, saved: Saved, options: Any, setting: Setting) -> Session: ...

    @abstractmethod
    def _explain_impl(self, piece: Workpiece, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]: ...

    @abstractmethod
    def _reproduce_impl(self, piece: Workpiece) -> str: ...

    def _error_impl(self, error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
        """The toolchain's exception as one of ours. A backend that can name the operator overrides it."""
        return otherwise(f"{self.name}: {first_line(error)}")


def first_line(error: BaseException, limit: int = 400) -> str:
    """An exception's first line that says something, cut."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:limit]


def as_fed(array: Array) -> Array:
    """Contiguous, and an array of rank 0 where NumPy would make a scalar."""
    return np.ascontiguousarray(array).reshape(array.shape)
