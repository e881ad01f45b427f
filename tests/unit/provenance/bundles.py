"""Signed bundles in a folder, made as the farm and the SDK make them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enginehouse.bundle import ENVELOPE_NAME, MANIFEST_NAME, BundleFile, Manifest
from enginehouse.provenance import (
    BUILD_TYPE,
    BuildDefinition,
    Builder,
    Metadata,
    Predicate,
    RunDetails,
    Statement,
    subjects,
)
from enginehouse.targets import parse_target
from scheduler.signing import Signer

FILES = {"model.bin": b"weights" * 1000, "deep/er/model.xml": b"<net/>", "report.json": b'{"schema_version": 1}'}


def signer(seed: int = 7) -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def manifest(files: dict[str, bytes] = FILES) -> Manifest:
    return Manifest(
        model="0" * 64,
        target=parse_target("openvino:fp16"),
        entry="deep/er/model.xml",
        runtime={"openvino": "2026.4.1"},
        hardware_class="cpu",
        files=[
            BundleFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data), role="model")
            for path, data in files.items()
        ],
    )


def statement(of: Manifest, **more: Any) -> Statement:
    moment = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
    definition = BuildDefinition(build_type=BUILD_TYPE, external_parameters={"model": of.model})
    details = RunDetails(
        builder=Builder(id="https://farm.example.org"),
        metadata=Metadata(invocation_id="build_1/1", started_on=moment, finished_on=moment),
    )
    return Statement(
        **({"subject": subjects(of), "predicate": Predicate(build_definition=definition, run_details=details)} | more)
    )


def bundle(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    """A whole, signed bundle."""
    made = manifest(files)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / MANIFEST_NAME).write_bytes(made.canonical())
    (folder / ENVELOPE_NAME).write_bytes(signer().sign(statement(made)).to_json())
    return folder
