"""Another build of the same model beside an order's own: in a folder and a process of its own, and made short.

What is tried for ``auto``, and the baselines that an artifact is measured against.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enginehouse.bundle import Manifest
from enginehouse.errors import Failure
from enginehouse.report import Report
from enginehouse.targets import Target
from workers.backends.base import Saved
from workers.pipeline.apart import apart
from workers.pipeline.order import Order


@dataclass(frozen=True)
class Aside:
    """What a build left: its bundle's folder, and what lies in it."""

    folder: Path
    manifest: Manifest
    report: Report

    @property
    def saved(self) -> Saved:
        """The files that the runtime loads."""
        return saved_of(self.folder, self.manifest)


def saved_of(folder: Path, manifest: Manifest) -> Saved:
    """The files of a bundle that the runtime loads."""
    files = tuple(file.path for file in manifest.files if file.role == "model")
    return Saved(folder, manifest.entry, files)


def build_aside(
    order: Order, target: Target, folder: Path, time_s: float, *, check: bool, **changes: Any
) -> Aside | Failure:
    """Build the target in at most ``time_s``. Call it before a runtime has started threads here.

    ``check``: whether it is verified and timed. ``changes``: to the rest of the order. Raises nothing that the build
    raises.
    """
    from workers.pipeline.run import run  # which builds baselines by this

    folder.mkdir(parents=True)
    recipe = {"target": target, "baselines": (), "verify": check, "benchmark": check}
    short = order.model_copy(
        update={
            "recipe": order.recipe.model_copy(update=recipe),
            "work": folder,
            "layers": False,
            "memory": False,
            "throughput": False,
            "made_onnx": order.work / "onnx",
            **changes,
        }
    )

    def build() -> str:
        result = run(short)
        return f"{result.manifest.model_dump_json()}\n{result.report.model_dump_json()}"

    answer = apart(build, time_s)
    if answer.failure is not None:
        return answer.failure
    first, second = answer.text.split("\n")
    return Aside(short.bundle, Manifest.model_validate_json(first), Report.model_validate_json(second))
