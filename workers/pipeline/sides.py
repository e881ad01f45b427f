"""The two sides of every comparison: the artifact under its backend, the source model under ONNX Runtime in FP32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from workers.backends.base import Array, Arrays, Backend, Saved, Session, Setting
from workers.backends.options import Options
from workers.backends.workpiece import Source
from workers.sources import get


@dataclass
class Side:
    """A loaded session with the two times that are measured only once.

    ``size``: bytes of the model's files. ``again``: load it once more, with another setting.
    """

    name: str
    session: Session
    load_ms: float
    first_ms: float | None = field(default=None)
    size: int | None = None
    again: Callable[[Setting], Session] | None = None

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
    return _loaded(
        f"{backend.name} artifact",
        lambda setting: backend.load(saved, options, setting),
        threads,
        [saved.folder / name for name in saved.files],
    )


def load_reference(source: Source, threads: int, work: Path) -> Side:
    """The source model in its own framework, FP32, CPU. Raises ReferenceFailed."""
    own = get(source.format)
    files = [path for path in source.folder.rglob("*") if path.is_file()]
    return _loaded(own.runtime(), lambda setting: own.reference(source, setting, work), threads, files)


def _loaded(name: str, load: Callable[[Setting], Session], threads: int, files: Iterable[Path]) -> Side:
    begin = time.perf_counter()
    session = load(Setting(threads=threads))
    load_ms = (time.perf_counter() - begin) * 1e3
    return Side(name, session, load_ms, size=sum(path.stat().st_size for path in files), again=load)


def load_intermediate(made: Source, threads: int) -> Side:
    """The ONNX that the model went through, run by ONNX Runtime. Raises ReferenceFailed."""
    side = load_reference(made, threads, made.folder)
    side.name = "intermediate onnx"
    return side
