"""The runtime's own view of an IR: which layers it runs, what each one fuses, in which precision, for how long."""

from __future__ import annotations

import re
from pathlib import Path

from enginehouse.report import Layer
from workers.backends.base import Arrays, Setting
from workers.backends.openvino.run import OpenVinoSession

_RUNS = 5
_KERNEL = re.compile(r"_((?:bf|f|i|u)\d+)$", re.IGNORECASE)


def layers(path: Path, hint: str, threads: int, feeds: Arrays) -> list[Layer]:
    """The executed layers in order; constants are left out. ``time_us`` is the mean of a few profiled runs."""
    session = OpenVinoSession(path, hint, Setting(threads=threads, profiling=True))
    session.run(feeds)
    times: dict[str, list[float]] = {}
    for _ in range(_RUNS):
        session.run(feeds)
        for info in session.request.get_profiling_info():
            times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1e6)
    found = []
    for node in session.compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kind = _text(info, "layerType")
        name = node.get_friendly_name()
        if kind in ("Const", "Constant"):
            continue
        timed = times.get(name)
        found.append(
            Layer(
                name=name,
                type=kind or node.get_type_name(),
                precision=_precision(info),
                fused=[part for part in _text(info, "originalLayersNames").split(",") if part],
                time_us=round(sum(timed) / len(timed), 3) if timed else None,
            )
        )
    return found


def _precision(info: object) -> str:
    """The precision of the kernel that runs ('brgconv_avx512_f32'), else what the plugin says of the layer.

    ``runtimePrecision`` alone misleads: it names f16 for a layer whose weights are stored in half precision,
    though they were converted while loading and the kernel runs in f32.
    """
    kernel = _KERNEL.search(_text(info, "primitiveType"))
    return (kernel.group(1) if kernel else _text(info, "runtimePrecision")).lower()


def _text(info: object, key: str) -> str:
    try:
        value = info[key]  # type: ignore[index]
    except (KeyError, RuntimeError):
        return ""
    return str(getattr(value, "value", value))
