"""The two sides of every comparison: the artifact under its backend, the source model under ONNX Runtime in FP32."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from workers.backends.base import Array, Arrays, Backend, Saved, Session, Setting
from workers.backends.options import Options
from workers.backends.workpiece import Source
from workers.sources import get


@dataclass
class Side:
    """A loaded session with the two times that are measured only once."""

    name: str
    session: Session
    load_ms: float
    first_ms: float | None = field(default=None)

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference."""
        begin = time.perf_counter()
        outputs = self.session.run(feeds)
        if self.first_ms is None:
            self.first_ms = (time.perf_counter() - begin) * 1e3
        return outputs

    def close(self) -> None:
        """Give the session's memory and threads back."""
        del self.session


def load_artifact(backend: Backend, saved: Saved, options: Options, threads: int) -> Side:
    """The artifact, compiled with explicit settings."""
    begin = time.perf_counter()
    session = backend.load(saved, options, Setting(threads=threads))
    return Side(f"{backend.name} artifact", session, (time.perf_counter() - begin) * 1e3)


def load_reference(source: Source, threads: int, work: Path) -> Side:
    """The source model in its own framework, FP32, CPU. Raises ReferenceFailed."""
    own = get(source.format)
    begin = time.perf_counter()
    session = own.reference(source, Setting(threads=threads), work)
    return Side(own.runtime(), session, (time.perf_counter() - begin) * 1e3)


def load_intermediate(made: Source, threads: int) -> Side:
    """The ONNX that the model went through, run by ONNX Runtime. Raises ReferenceFailed."""
    side = load_reference(made, threads, made.folder)
    side.name = "intermediate onnx"
    return side
