"""``engine.json``: what an engine was built for. It is read before TensorRT sees the engine's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from enginehouse.errors import CompileFailed
from enginehouse.shapes import Profile
from enginehouse.versions import engine_fits, engine_loads

FILE = "engine.json"


class Record(BaseModel):
    """The conditions under which an engine runs, and what it was told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tensorrt: str
    gpu: str
    compute_capability: str
    cuda_runtime: str
    cuda_driver: str
    precision: str
    hardware_compatibility: str
    version_compatible: bool
    weights: str | None
    """the ONNX file beside it that holds the weights of a stripped engine"""
    profiles: tuple[Profile, ...]
    plan: dict[str, Any]
    """what the builder was told"""

    def write(self, folder: Path) -> None:
        """As ``engine.json``."""
        (folder / FILE).write_text(self.model_dump_json(indent=1))

    def settings(self) -> dict[str, str | bool]:
        """What decides where the engine runs, for the manifest."""
        return {
            "device": self.gpu,
            "compute_capability": self.compute_capability,
            "cuda_runtime": self.cuda_runtime,
            "cuda_driver": self.cuda_driver,
            "tensorrt": self.tensorrt,
            "hardware_compatibility": self.hardware_compatibility,
            "version_compatible": self.version_compatible,
        }

    def refuse_unless_runs(self, gpu: str, compute_capability: str, tensorrt: str) -> None:
        """Raise CompileFailed, which says what the engine needs, where this GPU or TensorRT cannot run it.

        On another model of the same compute capability it runs, but not as fast as one that was built there.
        """
        if not engine_fits(self.hardware_compatibility, self.compute_capability, compute_capability):
            needs = {
                "ampere_plus": "compute capability 8.0 or newer",
                "same_compute_capability": f"compute capability {self.compute_capability}",
            }.get(self.hardware_compatibility, f"compute capability {self.compute_capability} ({self.gpu})")
            raise CompileFailed(
                f"the engine needs {needs}; this GPU, {gpu}, has {compute_capability}",
                advice="Build it for this GPU, or with the option hardware_compatibility.",
                needs=needs,
                has=compute_capability,
            )
        if not engine_loads(self.tensorrt, tensorrt, version_compatible=self.version_compatible):
            how = " as a version-compatible engine" if self.version_compatible else ""
            raise CompileFailed(
                f"the engine was built by TensorRT {self.tensorrt}{how}, which TensorRT {tensorrt} does not load",
                advice="Load it with the version that built it, or build with the option version_compatible.",
                needs=self.tensorrt,
                has=tensorrt,
            )


def read(folder: Path) -> Record:
    """The record beside an engine. Raises CompileFailed where there is none that can be read."""
    try:
        return Record.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise CompileFailed(f"{FILE} beside the engine cannot be read: {type(error).__name__}") from error
