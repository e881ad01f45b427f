"""The compiled model: loads in a fraction of the time, but only where it was compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from enginehouse.errors import CompileFailed
from workers.backends.openvino.runtime import Blob
from workers.probe.cpu import read_cpu

FILE = "model.blob"


def export(compiled: Any, folder: Path) -> Blob:
    """Write a compiled model, and say where it was compiled."""
    (folder / FILE).write_bytes(compiled.export_model().getvalue())
    return Blob(file=FILE, openvino=openvino.__version__, cpu=here())


def load(core: Any, blob: Blob, folder: Path, device: str, config: dict[str, Any]) -> Any:
    """The compiled model. Raises CompileFailed where it was not compiled for this machine and version."""
    if (blob.openvino, blob.cpu) != (openvino.__version__, here()):
        raise CompileFailed(
            f"{blob.file} was compiled by OpenVINO {blob.openvino} for {blob.cpu}; "
            f"this is OpenVINO {openvino.__version__} on {here()}",
            advice="Load model.xml, which is compiled anew wherever it is loaded.",
        )
    return core.import_model((folder / blob.file).read_bytes(), device, config)


def here() -> str:
    """This machine's CPU: its model, and the instruction sets that kernels are chosen by."""
    cpu = read_cpu()
    return " ".join((cpu.model, *cpu.isa))
