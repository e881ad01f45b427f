"""The executed layers from ONNX Runtime's profile; what each one fuses from the source graph's tensor names."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import onnx

from enginehouse.report import Layer
from workers.backends.base import Arrays, Setting
from workers.backends.onnxruntime.run import OnnxRuntimeSession

_RUNS = 5
_MOST_FUSED = 64


def layers(source: Path, artifact: Path, threads: int, optimise: bool, feeds: Arrays) -> list[Layer]:
    """The executed layers in order. ``time_us`` is the mean of a few profiled runs."""
    prefix = artifact.parent.parent / "profile"
    session = OnnxRuntimeSession(artifact, Setting(threads, profiling=True), optimise=optimise, profile_prefix=prefix)
    for _ in range(1 + _RUNS):
        session.run(feeds)
    profile = Path(session.session.end_profiling())
    try:
        events = json.loads(profile.read_bytes())
    finally:
        profile.unlink()
    fused = fusions(onnx.load(source, load_external_data=False), onnx.load(artifact, load_external_data=False))
    return table(events, fused)


def table(events: list[dict[str, Any]], fused: dict[str, list[str]]) -> list[Layer]:
    """The profile's kernel events as layers; the first run of each is warm-up and not counted."""
    kernels: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time"):
            kernels[event["name"].removesuffix("_kernel_time")].append(event)
    found = []
    for name, runs in kernels.items():
        counted = [event["dur"] for event in (runs[1:] or runs)]
        details = runs[0].get("args", {})
        kinds = [next(iter(one)) for one in details.get("output_type_shape", []) if one]
        found.append(
            Layer(
                name=name,
                type=str(details.get("op_name", "")),
                precision=kinds[0] if kinds else "",
                fused=fused.get(name, []),
                time_us=round(sum(counted) / len(counted), 3),
            )
        )
    return found


def fusions(source: Any, optimised: Any) -> dict[str, list[str]]:
    """Optimised node to the source nodes that it stands for, where that is more than itself.

    Fusions keep the names of the tensors at their borders: the source nodes of a fused node are those on the
    way back from its outputs to its inputs.
    """
    maker = {output: node for node in source.graph.node for output in node.output if output}
    found: dict[str, list[str]] = {}
    for node in optimised.graph.node:
        border = set(node.input)
        names: list[str] = []
        queue = [output for output in node.output if output in maker]
        seen: set[str] = set()
        while queue and len(names) <= _MOST_FUSED:
            tensor = queue.pop()
            if tensor in border or tensor in seen or tensor not in maker:
                continue
            made_by = maker[tensor]
            seen.update(made_by.output)
            names.append(made_by.name or made_by.output[0])
            queue.extend(made_by.input)
        if 1 < len(names) <= _MOST_FUSED:
            # Where the runtime lays a node out anew while loading, it names it after its output.
            found[node.name] = found[f"{node.output[0]}_nchwc"] = list(reversed(names))
    return found
