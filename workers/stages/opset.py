"""A model in a newer operator set, where a stage or a toolchain needs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enginehouse.errors import UnsupportedOperator
from workers.backends.base import first_line
from workers.backends.workpiece import Source
from workers.stages.graph import load_model, operator_set, save_model
from workers.stages.versions import lift


def lifted(source: Source, least: int, work: Path) -> Source:
    """The model in operator set ``least`` or newer; the source itself where it is. Raises UnsupportedOperator."""
    model = load_model(source.path)
    version = operator_set(model)
    if version >= least:
        return source
    print(f"operator set {version} is converted to {least} by onnx's version converter", flush=True)  # noqa: T201
    try:
        model = lift(model, least)
    except Exception as error:
        raise UnsupportedOperator(
            f"the model has operator set {version}, {least} is needed, and onnx's version converter cannot lift it: "
            f"{first_line(error)}",
            advice=f"Export the model again with operator set {least} or newer.",
            opset=version,
        ) from error
    path = work / f"opset{least}" / "model.onnx"
    save_model(model, source.folder, path)
    return Source(path, described(source.signature, model))


def described(signature: Any, model: Any) -> Any:
    """The signature with what stages may have changed: IR version, operator sets."""
    opsets = {one.domain: one.version for one in model.opset_import}
    return signature.model_copy(update={"ir_version": model.ir_version, "opsets": opsets})
