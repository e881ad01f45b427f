"""The bundle: the files that the runtime loads, the report, and the manifest that names them by their bytes."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from enginehouse import __version__
from enginehouse.bundle import REPORT_NAME, BundleFile, Manifest
from enginehouse.report import Report
from workers.backends.base import Backend, Saved
from workers.pipeline.order import Order


def package(
    order: Order, backend: Backend, saved: Saved, report: Report, settings: Mapping[str, object], script: Path
) -> Manifest:
    """Complete the report, write it beside the model files, and list everything with its SHA-256."""
    runtime = backend.toolchain()
    report.environment.update(
        hardware=order.hardware.model_dump(mode="json"),
        toolchain=runtime,
        settings=dict(settings),
        system={"kernel": platform.release(), "python": platform.python_version(), "enginehouse": __version__},
    )
    (saved.folder / REPORT_NAME).write_text(report.model_dump_json(indent=1))
    files = [_entry(saved.folder, name, "model") for name in saved.files]
    files.append(_entry(saved.folder, REPORT_NAME, "report"))
    shutil.copyfile(script, saved.folder / script.name)
    files.append(_entry(saved.folder, script.name, "report"))
    return Manifest(
        model=order.recipe.model,
        target=order.recipe.target,
        entry=saved.entry,
        runtime=runtime,
        hardware_class=order.hardware.hardware_class,
        settings=dict(settings),
        files=files,
    )


def _entry(folder: Path, name: str, role: str) -> BundleFile:
    path = folder / name
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return BundleFile(path=name, sha256=digest, size=path.stat().st_size, role=role)
