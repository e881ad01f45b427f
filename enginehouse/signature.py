"""What the farm knows of a source model without running it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TensorSpec(BaseModel):
    """One input or output. A dimension is a size, a symbol (equal symbols are equal sizes) or None (unknown).

    The shape [None] says that not even the rank is known.
    """

    name: str
    dtype: str = Field(description="NumPy name of the element type", examples=["float32"])
    shape: list[int | str | None]

    def is_dynamic(self) -> bool:
        """Whether any dimension is not fixed."""
        return any(not isinstance(dim, int) for dim in self.shape)


class ModelSignature(BaseModel):
    """The inspected signature of a model."""

    format: str = Field(description="one of enginehouse.formats.Format", examples=["onnx"])
    producer: str = ""
    ir_version: int | None = None
    opsets: dict[str, int] = Field(default_factory=dict, description="operator-set domain to version; '' is ai.onnx")
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    operators: dict[str, int] = Field(default_factory=dict, description="operator type to count, subgraphs included")
    parameters: int = Field(
        default=0,
        description="number of weights: initialisers, and floating-point constants with more than one element",
    )
    flops: int | None = Field(
        default=None,
        description="floating-point operations of one inference (2 per multiply-add of convolutions and matrix "
        "products), dynamic dimensions counted as 1; None where they cannot be derived",
    )


class ModelFile(BaseModel):
    """One file of a model: its path inside the upload, its bytes' SHA-256 (hex) and size."""

    path: str
    sha256: str
    size: int
