"""A model on its way to an artifact: what it is, what is asked for, what it can be calibrated with, what was noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from enginehouse.formats import Format
from enginehouse.report import Calibration, Pruning
from enginehouse.shapes import Profile, Shapes
from enginehouse.signature import ModelSignature
from enginehouse.targets import Precision, Target

if TYPE_CHECKING:
    from workers.backends.base import Array, Arrays


@dataclass(frozen=True)
class Source:
    """A model's main file and what the farm knows of it: the one that was uploaded, or one that was made from it.

    Its input and output names and their order are the ones that every form of the model keeps.
    """

    path: Path
    signature: ModelSignature

    @property
    def format(self) -> Format:
        """What the bytes are."""
        return Format(self.signature.format)

    @property
    def folder(self) -> Path:
        """Where the files beside it lie."""
        return self.path.parent


class Samples(Protocol):
    """Inputs to look at a model with. Nothing is loaded before it is asked for."""

    def typical(self) -> Sequence[Arrays]:
        """A few inputs that the source model runs on: the dataset's first ones, else seeded ones."""

    def labels(self) -> Array | None:
        """The dataset's labels, first axis = samples; None where it has none, or there is no dataset."""

    def calibration(self, count: int, generated: bool) -> tuple[Calibration, Sequence[Arrays]]:
        """At most ``count`` inputs to take ranges from, read as they are indexed; ``method`` is left empty.

        Raises DatasetRequired where there is no dataset and ``generated`` does not allow made-up ones, and
        DatasetTooSmall.
        """


@dataclass
class Notes:
    """What stages tell the report."""

    calibration: Calibration | None = None
    pruning: Pruning | None = None
    kept_float: list[str] = field(default_factory=list)
    route: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        """A sentence for the report and the log."""
        self.sentences.append(sentence)
        print(sentence, flush=True)  # noqa: T201 - standard output is the build's log


@dataclass
class Workpiece:
    """One build's model with everything that a backend may need to know. ``options`` are the backend's own."""

    source: Source
    target: Target
    options: Any
    work: Path
    samples: Samples
    threads: int = 1
    shapes: Shapes = field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()
    hardware_class: str = ""
    made_onnx: Path | None = None
    """where the ONNX made of the source is kept for other pieces of the same source"""
    notes: Notes = field(default_factory=Notes)

    @property
    def precision(self) -> Precision:
        """The precision that was asked for."""
        return self.target.precision

    @property
    def altered(self) -> bool:
        """Whether a stage changes the ONNX graph before the toolchain sees it, so that it must go through ONNX."""
        return bool(self.options.prune != "none")

    @cached_property
    def onnx(self) -> Source:
        """The model as ONNX, converted if it is something else, and pruned if that is asked for.

        Raises UnsupportedOperator or ConversionFailed.
        """
        from workers.sources import get

        made = get(self.source.format).to_onnx(self)
        if self.altered:
            from workers.stages.prune import prune

            made, self.notes.pruning = prune(made, self.options.prune, self.options.prune_share, self.work)
        return made

    @property
    def graph(self) -> Source | None:
        """The ONNX graph that the toolchain was given; None where it read another format as it is."""
        return self.onnx if self.source.format is Format.ONNX or self.went_through_onnx else None

    @property
    def went_through_onnx(self) -> bool:
        """Whether an ONNX file was made on the way from another format."""
        return "onnx" in self.__dict__ and self.source.format is not Format.ONNX
