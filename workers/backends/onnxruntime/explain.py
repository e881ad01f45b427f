"""The executed layers from ONNX Runtime's profile, and what each one stands for from the graph that it ran."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from enginehouse.report import Layer
from workers.backends.base import Arrays, Setting, first_line
from workers.backends.onnxruntime import lineage
from workers.backends.onnxruntime.run import OnnxRuntimeSession
from workers.stages.quantize import quantizes

_RUNS = 5
_KERNEL = "_kernel_time"


def layers(
    artifact: Path, work: Path, setting: Setting, feeds: Arrays, *, optimise: bool, provider: str
) -> list[Layer]:
    """The executed layers in order. ``time_us`` is the mean of a few profiled runs."""
    folder = work / "explain"
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder / "executed.onnx"
    how: dict[str, Any] = {"optimise": optimise, "provider": provider, "profile_prefix": folder / "profile"}
    profiled = Setting(setting.threads, profiling=True)
    try:
        session = OnnxRuntimeSession(artifact, profiled, executed=executed, **how)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a provider may compile nodes that cannot be written
        print(f"what the layers stand for is not known: {first_line(error)}", flush=True)  # noqa: T201
        session = OnnxRuntimeSession(artifact, profiled, **how)
    for _ in range(1 + _RUNS):
        session.run(feeds)
    profile = Path(session.session.end_profiling())
    events = json.loads(profile.read_bytes())
    del session
    ran = lineage.nodes_of(onnx.load(executed, load_external_data=False)) if executed.exists() else []
    staged, origin = lineage.read(work)
    found = table(events, lineage.composed(lineage.trace(named(ran, events), staged), origin))
    for file in folder.iterdir():
        file.unlink()
    return found


def named(nodes: Sequence[lineage.Node], events: Sequence[Mapping[str, Any]]) -> list[lineage.Node]:
    """Nodes without a name as the profile calls them: by operator and number. Parts of decomposed ones have none."""
    numbered: dict[str, list[int]] = {}
    for name in {str(event["name"]).removesuffix(_KERNEL) for event in events if _is_kernel(event)}:
        kind, _, number = name.rpartition("_")
        if number.isdigit():
            numbered.setdefault(kind, []).append(int(number))
    counts = Counter(node.kind for node in nodes if not node.name)
    names = {
        kind: iter(sorted(numbers)) for kind, numbers in numbered.items() if len(numbers) == counts.get(kind)
    }  # more or fewer of them could be others'
    return [
        replace(node, name=f"{node.kind}_{next(names[node.kind])}") if not node.name and node.kind in names else node
        for node in nodes
    ]


def table(events: Sequence[Mapping[str, Any]], fused: Mapping[str, Sequence[str]]) -> list[Layer]:
    """The profile's kernel events as layers, with their times per inference; the first inference is warm-up.

    What runs inside a branch or a body is not counted again for the node that holds it.
    """
    runs = [(event["ts"], event["ts"] + event["dur"]) for event in events if event.get("name") == "model_run"]
    counted = runs[1:] or runs
    kernels = sorted((e for e in events if _is_kernel(e)), key=lambda event: (event["ts"], -event["dur"]))
    own = _own_times(kernels)
    times: dict[str, float] = {}
    details: dict[str, Mapping[str, Any]] = {}
    for kernel, time_us in zip(kernels, own, strict=True):
        name = kernel["name"].removesuffix(_KERNEL)
        details.setdefault(name, kernel.get("args", {}))
        within = not counted or counted[0][0] <= kernel["ts"] <= counted[-1][1]
        times[name] = times.get(name, 0.0) + (time_us if within else 0.0)
    found = []
    for name, args in details.items():
        stands_for = list(fused.get(name, ()))
        found.append(
            Layer(
                name=name,
                type=str(args.get("op_name", "")),
                precision=_precision(args),
                fused=[] if stands_for == [name] else stands_for,
                time_us=round(times[name] / max(len(counted), 1), 3),
            )
        )
    return found


def _is_kernel(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and str(event.get("name", "")).endswith(_KERNEL)


def _own_times(kernels: Sequence[Mapping[str, Any]]) -> list[float]:
    """Each kernel's time without that of the kernels inside it; they are sorted by their begin."""
    own = [float(kernel["dur"]) for kernel in kernels]
    around: list[int] = []
    for index, kernel in enumerate(kernels):
        while around and kernel["ts"] >= kernels[around[-1]]["ts"] + kernels[around[-1]]["dur"]:
            around.pop()
        if around:
            own[around[-1]] -= kernel["dur"]
        around.append(index)
    return [max(0.0, time_us) for time_us in own]


def _precision(args: Mapping[str, Any]) -> str:
    """'int8' for what computes with quantised numbers, else the element type of the first output."""
    if quantizes(str(args.get("op_name", ""))):
        return "int8"
    return next((next(iter(one)) for one in args.get("output_type_shape", []) if one), "")
