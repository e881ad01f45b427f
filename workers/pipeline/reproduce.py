"""``reproduce.py``: the toolchain's own steps of a build, for anyone to run outside the farm."""

from __future__ import annotations

from pathlib import Path

from workers.backends.base import Backend
from workers.backends.workpiece import Workpiece
from workers.pipeline.order import Order

SCRIPT = "reproduce.py"


def write_script(order: Order, backend: Backend, piece: Workpiece) -> Path:
    """Written before the build begins, so that a build that fails, or dies, leaves it too."""
    versions = backend.capability().toolchain
    wanted = " ".join(f"{name}=={version}" for name, version in sorted(versions.items()))
    head = (
        f"# Repeats {order.recipe.target} of model {order.recipe.model} without the farm.\n"
        f"# Fetch the model first: enginehouse model download {order.recipe.model}\n"
        f"# Exact versions: pip install {wanted}\n\n"
    )
    folder = order.work / ATTACHMENTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SCRIPT
    path.write_text(head + backend.reproduce(piece))
    return path


ATTACHMENTS = "attachments"
"""The folder whose files go with a failure."""
