"""What stands for a TensorRT build where there is no GPU: a child that does with its order what a build does."""

from __future__ import annotations

import hashlib
import os
import sys
from multiprocessing.connection import Connection

from enginehouse.bundle import BundleFile, Manifest
from enginehouse.report import Report
from workers.backends.kept import Kept
from workers.child import entry
from workers.child.messages import Built, Message
from workers.pipeline import Order


def _build(told: Order) -> Message:
    kept = Kept(told.work)
    had = [path.read_text() for path in (kept.farm, kept.own) if path.exists()]
    sys.stdout.write(f"sees {os.environ['CUDA_VISIBLE_DEVICES']} by {os.environ['CUDA_DEVICE_ORDER']}, had {had}\n")
    kept.new.write_text("+".join([*had, "learnt"]))
    told.bundle.mkdir()
    content = b"an engine that is large enough to be sent"
    (told.bundle / "model.engine").write_bytes(content)
    file = BundleFile(path="model.engine", sha256=hashlib.sha256(content).hexdigest(), size=len(content), role="model")
    manifest = Manifest(
        model=told.recipe.model,
        target=told.recipe.target,
        entry="model.engine",
        runtime={"tensorrt": "11.4.0.106"},
        hardware_class=told.hardware.hardware_class,
        files=[file],
    )
    return Built(
        manifest=manifest, report=Report(model=told.recipe.model, target=str(told.recipe.target), size=len(content))
    )


def main(order: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    """As ``workers.child.entry.main``, with a build of our own."""
    real = entry.build
    entry.build = lambda told, _: _build(told)  # type: ignore[assignment,return-value]
    try:
        entry.main(order, memory_mb, log, messages)
    finally:
        entry.build = real
