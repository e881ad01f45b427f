"""Bodies of the upload requests: resumable, in parts, each part with its SHA-256."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.request import Sha256

MIB = 1024**2
MAX_PARTS = 10_000
_LEAST_PART = 16 * MIB


def part_size(size: int) -> int:
    """Bytes of every part but the last, so that ``size`` bytes are no more parts than S3 takes. Both sides cut so."""
    needed = -(-size // MAX_PARTS)
    return max(_LEAST_PART, -(-needed // MIB) * MIB)


class UploadRequest(BaseModel):
    """Open an upload, or find the open one of the same bytes again. The SHA-256 is that of the whole file."""

    model_config = ConfigDict(extra="forbid")

    sha256: Sha256
    size: int = Field(ge=0)


class PartRequest(BaseModel):
    """A part that is about to be sent."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=1, le=MAX_PARTS)
    sha256: Sha256


class PartsRequest(BaseModel):
    """Ask where to PUT these parts."""

    model_config = ConfigDict(extra="forbid")

    parts: list[PartRequest] = Field(min_length=1, max_length=100)


class UploadedFile(BaseModel):
    """A completed upload's bytes under a path."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=255)
    sha256: Sha256


class ModelRequest(BaseModel):
    """Make a model from completed uploads. The first file is the model itself, the others its external data."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200)
    files: list[UploadedFile] = Field(min_length=1, max_length=1000)


class DatasetRequest(BaseModel):
    """Make a dataset version from a completed upload."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")
    sha256: Sha256
