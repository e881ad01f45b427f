"""The runtime's own view of an artifact: which layers it runs, what each one fuses, in which precision, how long."""

from __future__ import annotations

import re

from enginehouse.report import Layer
from workers.backends.base import Arrays, Saved, Setting
from workers.backends.openvino.frontend import READERS
from workers.backends.openvino.naming import names
from workers.backends.openvino.precision import WEIGHTED
from workers.backends.openvino.run import OpenVinoSession
from workers.backends.workpiece import Source, Workpiece

_RUNS = 5
_KERNEL = re.compile(r"_((?:bf|f|i|u)\d+)$", re.IGNORECASE)


def layers(piece: Workpiece, source: Source, saved: Saved, threads: int, feeds: Arrays) -> list[Layer]:
    """The executed layers in order; constants are left out. ``time_us`` is the mean of a few profiled runs."""
    session = OpenVinoSession(saved, Setting(threads=threads, profiling=True))
    session.run(feeds)
    times: dict[str, list[float]] = {}
    for _ in range(_RUNS):
        session.run(feeds)
        for info in session.request.get_profiling_info():
            times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1e6)
    known = names(source, piece)
    found: list[Layer] = []
    originals: list[list[str]] = []
    for node in session.compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kind = _text(info, "layerType")
        name = node.get_friendly_name()
        timed = times.get(name)
        if kind in ("Const", "Constant") or (times and not timed):  # what is computed once, while loading, is no layer
            continue
        originals.append(_text(info, "originalLayersNames").split(","))
        found.append(
            Layer(
                name=name,
                type=kind or node.get_type_name(),
                precision=_precision(info),
                fused=known.of(originals[-1]),
                time_us=round(sum(timed) / len(timed), 3) if timed else None,
            )
        )
    told = {name for layer in found for name in layer.fused}
    for layer, original in zip(found, originals, strict=True):
        layer.fused += [name for name in known.rounded(original) if name not in told]
    lost = [layer.name for layer in found if layer.type in WEIGHTED and not layer.fused]
    if lost and READERS[source.format] in ("tf", "tflite"):
        piece.notes.say(
            "OpenVINO's converter does not keep the names of nodes that it turns from NHWC to NCHW: "
            f"layers with weights that tell no source nodes: {len(lost)}"
        )
    return found


def _precision(info: object) -> str:
    """The precision of the kernel that runs ('brgconv_avx512_f32'), else what the plugin says of the layer.

    ``runtimePrecision`` alone misleads: it names f16 for a layer whose weights are stored in half precision,
    though they were converted while loading and the kernel runs in f32. Of eight bits the kernel tells no sign.
    """
    said = _text(info, "runtimePrecision").lower()
    kernel = _KERNEL.search(_text(info, "primitiveType"))
    if kernel is None or kernel.group(1).lower() == "i8":
        return said
    return kernel.group(1).lower()


def _text(info: object, key: str) -> str:
    try:
        value = info[key]  # type: ignore[index]
    except (KeyError, RuntimeError):
        return ""
    return str(getattr(value, "value", value))
