"""The tensors of an artifact, as OpenVINO computes them with the settings that the artifact is run with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import openvino

from workers.backends.base import Array, Arrays, Saved, as_fed
from workers.backends.openvino import lineage, runtime
from workers.backends.openvino.naming import names
from workers.backends.workpiece import Source, Workpiece


def values(saved: Saved, feeds: Arrays, wanted: Collection[str], threads: int) -> dict[str, Array]:
    """Tensor name to values. Results are put at the nodes, so that a fusion across one of them is not seen."""
    told = runtime.read(saved.folder)
    core = openvino.Core()
    model = core.read_model(saved.path)
    found: dict[str, int] = {}
    for node in model.get_ordered_ops():
        for port in node.outputs() if node.get_type_name() not in ("Constant", "Parameter", "Result") else ():
            named = [name for name in port.get_names() if name in wanted and name not in found]
            if named and port.get_element_type().is_real():
                (added,) = model.add_outputs(port)
                found |= dict.fromkeys(named, list(model.outputs).index(added))
    if not found:
        return {}
    config = {**told.config, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    request = core.compile_model(model, told.device, config).create_infer_request()
    taken = {name for port in model.inputs for name in port.get_names()}
    results = request.infer({name: as_fed(array) for name, array in feeds.items() if name in taken})
    return {name: np.array(results[index]) for name, index in found.items()}


def known(piece: Workpiece, source: Source, wanted: Sequence[str]) -> list[str]:
    """Those of the source's nodes that a node of the IR stands for."""
    read = lineage.read(piece.work)
    behind = set(names(source, piece).of(read.nodes))
    return [name for name in wanted if name in behind]
