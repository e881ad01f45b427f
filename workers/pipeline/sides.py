"""The two sides of every comparison: the artifact under its backend, the source model under ONNX Runtime in FP32."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from enginehouse.errors import ReferenceFailed
from workers.backends.base import Array, Arrays, Backend, Options, Saved, Session, Setting, Source


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


def load_reference(source: Source, threads: int) -> Side:
    """The source model: ONNX Runtime, FP32, CPU, graph optimisation at its default. Raises ReferenceFailed."""
    import onnxruntime

    from workers.backends.onnxruntime.convert import named
    from workers.backends.onnxruntime.modern import modern
    from workers.backends.onnxruntime.run import OnnxRuntimeSession

    begin = time.perf_counter()
    try:
        session = OnnxRuntimeSession(modern(source), Setting(threads=threads))
    except Exception as error:
        reason = named(error, ReferenceFailed)
        detail = f"the reference cannot load the source model: {reason.detail}"
        raise ReferenceFailed(detail, advice=reason.hint, **reason.where) from error
    name = f"onnxruntime {onnxruntime.__version__} fp32 cpu"
    return Side(name, session, (time.perf_counter() - begin) * 1e3)
