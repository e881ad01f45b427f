"""The bundle that a build yields: files, a manifest with the SHA-256 of each, the report."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from enginehouse.targets import Target

MANIFEST_NAME = "manifest.json"
REPORT_NAME = "report.json"
PAGE_NAME = "report.html"
REQUEST_NAME = "request.json"
ENVELOPE_NAME = "provenance.dsse.json"
"""The signed provenance beside the manifest. It names the manifest's digest, so the manifest cannot list it."""
RESERVED = frozenset({MANIFEST_NAME, ENVELOPE_NAME})


def safe_path(path: str) -> str:
    """A relative POSIX path that stays where it is put, or ValueError."""
    parts = PurePosixPath(path).parts
    bad = not parts or path.startswith("/") or ".." in parts or "\\" in path or len(path) > 255
    if bad or any(ord(char) < 32 for char in path) or str(PurePosixPath(*parts)) != path or path == ".":
        raise ValueError(f"{path!r} is not a plain relative path")
    return path


class BundleFile(BaseModel):
    """One file of a bundle."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    role: str = Field(description="'model' (needed to run it) or 'report' (about it)", pattern="^(model|report)$")

    _safe = field_validator("path")(safe_path)


class Manifest(BaseModel):
    """What is in a bundle and what it was made from. Its canonical bytes' SHA-256 names the artifact."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    model: str
    target: Target
    entry: str = Field(description="the file that the runtime loads")
    runtime: dict[str, str] = Field(description="package to version that the artifact was made and verified with")
    hardware_class: str
    settings: dict[str, Any] = Field(default_factory=dict, description="runtime settings it was verified under")
    files: list[BundleFile]

    def canonical(self) -> bytes:
        """The bytes that are hashed, stored and downloaded."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical bytes."""
        return hashlib.sha256(self.canonical()).hexdigest()


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
