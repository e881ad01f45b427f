"""What values the tensors of a graph take on samples: extremes, and whether there was anything that is not a number.

Reduced inside the graph while it runs, so that no sample's tensors are held all at once.
Imports numpy, onnx and onnxruntime: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from workers.stages.graph import FLOATING, set_repeated
from workers.stages.operators import tensor_types

_REDUCTIONS = ("ReduceMin", "ReduceMax", "ReduceSum")
_GROUP_ELEMENTS = 64 * 2**20
"""Elements of the tensors that are looked at whole at a time."""


@dataclass
class Extremes:
    """A tensor's smallest and largest finite value over the samples, what else there was, and its largest size."""

    lowest: float = np.inf
    highest: float = -np.inf
    nan: bool = False
    infinite: bool = False
    elements: int = 0

    @property
    def seen(self) -> bool:
        """Whether there was any finite value."""
        return self.lowest <= self.highest

    @property
    def magnitude(self) -> float:
        """The largest finite magnitude; 0 where there was none."""
        return max(abs(self.lowest), abs(self.highest)) if self.seen else 0.0

    def add(self, values: Any) -> None:
        """Take an array's values in."""
        values = np.asarray(values, np.float64).ravel()
        self.elements = max(self.elements, values.size)
        finite = values[np.isfinite(values)]
        self.nan |= bool(np.isnan(values).any())
        self.infinite |= bool(np.isinf(values).any())
        if finite.size:
            self.lowest = min(self.lowest, float(finite.min()))
            self.highest = max(self.highest, float(finite.max()))


def extremes(model: Any, folder: Path, feeds: Iterable[Mapping[str, Any]], threads: int = 1) -> dict[str, Extremes]:
    """Tensor name to its extremes, for floating tensors outside of branches and bodies, inputs included.

    ``folder``: where external data lies. Runs every sample once; tensors whose sum is not finite are looked at whole.
    """
    types = tensor_types(model)
    inputs = [one.name for one in model.graph.input if types.get(one.name) in FLOATING]
    names = [name for node in model.graph.node for name in node.output if types.get(name) in FLOATING]
    found = {name: Extremes() for name in (*inputs, *names)}
    if not names:
        return found
    reduced = session_for(model, folder, *_reductions(names, types), threads=threads)
    odd: dict[str, list[Mapping[str, Any]]] = {}
    for feed in feeds:
        for name in inputs:
            found[name].add(feed[name])
        outputs = iter(reduced.run([one.name for one in reduced.get_outputs()], _taken(reduced, feed)))
        for name, size, lowest, highest, total in zip(names, outputs, outputs, outputs, outputs, strict=True):
            found[name].elements = max(found[name].elements, int(size))
            if np.isfinite(total):
                if size:
                    found[name].lowest = min(found[name].lowest, float(lowest))
                    found[name].highest = max(found[name].highest, float(highest))
            else:
                odd.setdefault(name, []).append(feed)
    if odd:
        _look_whole(model, folder, odd, found, threads)
    return found


def values_of(model: Any, folder: Path, names: Sequence[str], feed: Mapping[str, Any], threads: int = 1) -> list[Any]:
    """The values of some floating tensors on one sample."""
    types = tensor_types(model)
    outputs = [helper.make_tensor_value_info(name, types[name], None) for name in names]
    session = session_for(model, folder, [], outputs, threads=threads)
    return list(session.run(list(names), _taken(session, feed)))


def session_for(model: Any, folder: Path, nodes: Sequence[Any], outputs: Sequence[Any], *, threads: int) -> Any:
    """A session of the graph with these nodes more, and these outputs instead of its own. The model stays as it is.

    A node runs right after what it looks at, so that tensors go as early as they otherwise would.
    """
    import onnxruntime

    own_nodes, own_outputs = list(model.graph.node), list(model.graph.output)
    set_repeated(model.graph.node, _interleaved(own_nodes, nodes))
    set_repeated(model.graph.output, outputs)
    try:
        content = model.SerializeToString()
    finally:
        set_repeated(model.graph.node, own_nodes)
        set_repeated(model.graph.output, own_outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # the default one runs all reductions last
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _interleaved(own: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    readers: dict[str, list[Any]] = {}
    for node in more:
        readers.setdefault(node.input[0], []).append(node)
    found = []

    def put(node: Any) -> None:
        found.append(node)
        for name in node.output:
            for reader in readers.get(name, []):
                put(reader)

    for node in own:
        put(node)
    return found


def _reductions(names: Sequence[str], types: Mapping[str, int]) -> tuple[list[Any], list[Any]]:
    nodes, outputs = [], []
    for index, name in enumerate(names):
        tensor = name
        if types[name] != TensorProto.FLOAT:
            tensor = f"_range_{index}_float"
            nodes.append(helper.make_node("Cast", [name], [tensor], name=tensor, to=TensorProto.FLOAT))
        for kind in ("Size", *_REDUCTIONS):
            made = f"_range_{index}_{kind}"
            node = helper.make_node(kind, [tensor], [made], name=made)
            if kind != "Size":
                node.attribute.append(helper.make_attribute("keepdims", 0))
            element = TensorProto.INT64 if kind == "Size" else TensorProto.FLOAT
            nodes.append(node)
            outputs.append(helper.make_tensor_value_info(made, element, []))
    return nodes, outputs


def _look_whole(
    model: Any,
    folder: Path,
    odd: Mapping[str, Sequence[Mapping[str, Any]]],
    found: Mapping[str, Extremes],
    threads: int,
) -> None:
    """Sums that are not finite: NaN or Inf among the values, or only too large."""
    for name, feeds in odd.items():
        for feed in feeds:
            found[name].add(values_of(model, folder, [name], feed, threads)[0])


def _taken(session: Any, feed: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in session.get_inputs()}
    return {name: values for name, values in feed.items() if name in names}


def histograms(
    model: Any,
    folder: Path,
    feeds: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Extremes],
    bins: int,
    threads: int = 1,
) -> dict[str, Any]:
    """Tensor name to counts in equal bins from -m to m, m being the tensor's largest magnitude over the samples.

    ``seen``: the tensors that are wanted, with their extremes: bins are fixed before anything is counted, so that a
    quiet first sample costs neither bins nor memory. Tensors are taken in groups, as many as memory is given to.
    """
    types = tensor_types(model)
    inputs = {one.name for one in model.graph.input}
    found = {name: np.zeros(bins, np.int64) for name in seen}

    def count(name: str, values: Any) -> None:
        most = seen[name].magnitude
        found[name] += np.histogram(np.asarray(values, np.float32), bins, range=(-most, most))[0]

    for feed in feeds:
        for name in inputs.intersection(seen):
            count(name, feed[name])
    group: list[str] = []
    made = [name for name in seen if name not in inputs]
    for index, name in enumerate(made):
        group.append(name)
        ahead = seen[made[index + 1]].elements if index + 1 < len(made) else np.inf
        if sum(seen[one].elements for one in group) + ahead < _GROUP_ELEMENTS:
            continue
        outputs = [helper.make_tensor_value_info(one, types[one], None) for one in group]
        session = session_for(model, folder, [], outputs, threads=threads)
        for feed in feeds:
            for one, values in zip(group, session.run(group, _taken(session, feed)), strict=True):
                count(one, values)
        group = []
    return found
