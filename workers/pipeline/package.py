"""The bundle: what the runtime loads, the report, the request, and the manifest that names all by their bytes."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from enginehouse import __version__
from enginehouse.bundle import PAGE_NAME, REPORT_NAME, REQUEST_NAME, BundleFile, Manifest, canonical_json
from enginehouse.report import Report
from workers.backends.base import Backend, Saved
from workers.pipeline.order import Order
from workers.pipeline.report_page import render


def package(
    order: Order, backend: Backend, saved: Saved, report: Report, settings: Mapping[str, object], script: Path
) -> Manifest:
    """Complete the report, write it beside the model files, and list everything with its SHA-256.

    The report lies there as JSON and as a page; the request as what ``enginehouse submit --request`` takes.
    """
    runtime = backend.toolchain()
    report.environment.update(
        hardware=order.hardware.model_dump(mode="json"),
        toolchain=runtime,
        settings=dict(settings),
        system={"kernel": platform.release(), "python": platform.python_version(), "enginehouse": __version__},
    )
    (saved.folder / REPORT_NAME).write_text(report.model_dump_json(indent=1))
    (saved.folder / PAGE_NAME).write_text(render(report, order.recipe), encoding="utf-8")
    (saved.folder / REQUEST_NAME).write_bytes(canonical_json(order.recipe.model_dump(mode="json")))
    shutil.copyfile(script, saved.folder / script.name)
    files = [_entry(saved.folder, name, "model") for name in saved.files]
    files += [_entry(saved.folder, name, "report") for name in (REPORT_NAME, PAGE_NAME, REQUEST_NAME, script.name)]
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
