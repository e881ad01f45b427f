"""All that a build's child is told. It crosses to the child as JSON and holds no secret."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.capability import Hardware
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature


class Order(BaseModel):
    """One build: what to make, of what, where, on which machine."""

    model_config = ConfigDict(extra="forbid")

    recipe: Recipe
    signature: ModelSignature
    model: Path = Field(description="the model's main file; its external data lies beside it")
    dataset: Path | None = None
    dataset_name: str | None = None
    work: Path = Field(description="the build's own folder; the bundle is written to its 'bundle'")
    hardware: Hardware
    threads: int = Field(ge=1, description="threads of every inference, where the target does not say")
    cores: tuple[Path, ...] = Field(default=(), description="files that a benchmark locks to have the cores alone")
    gpu: str | None = Field(default=None, description="UUID of the GPU that the build holds, the only one it sees")
    benchmark_s: float = Field(default=3.0, gt=0, description="time for all timed inferences of a benchmark")
    throughput: bool = Field(default=True, description="whether a benchmark also runs inferences side by side")
    memory: bool = Field(default=False, description="whether a benchmark measures memory, in a process per side")
    backends: tuple[str, ...] = Field(default=(), description="what the worker announced: 'auto' chooses of it")
    most_samples: int | None = Field(
        default=None, description="samples of the dataset to look at; default: each stage's own"
    )
    layers: bool = Field(default=True, description="whether layers are looked into: the executed, and the lossy ones")
    made_onnx: Path | None = Field(default=None, description="folder for the ONNX made of the source, kept for others")

    @property
    def bundle(self) -> Path:
        """Where the files of the bundle go."""
        return self.work / "bundle"
