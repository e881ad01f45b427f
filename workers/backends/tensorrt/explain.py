"""The executed layers: the engine inspector's list, with the profiler's times."""

from __future__ import annotations

from collections import defaultdict

import tensorrt as trt

from enginehouse.report import Layer
from workers.backends.base import Arrays, Saved
from workers.backends.tensorrt.inspector import engine_layers, table
from workers.backends.tensorrt.run import TensorRtSession

_RUNS = 5


class LayerTimes(trt.IProfiler):  # type: ignore[misc]
    """Adds up what each layer took, in microseconds."""

    def __init__(self) -> None:
        trt.IProfiler.__init__(self)
        self.sums: dict[str, float] = defaultdict(float)

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        """TensorRT calls this once per layer and inference. A layer in a loop is called for each of its rounds."""
        self.sums[layer_name] += ms * 1e3


def layers(saved: Saved, feeds: Arrays) -> list[Layer]:
    """The layers in order. ``time_us`` is the mean of a few profiled inferences."""
    session = TensorRtSession(saved)
    session.run(feeds)
    times = LayerTimes()
    session.context.profiler = times
    for _ in range(_RUNS):
        session.run(feeds)
    return table(engine_layers(session.information()), {name: total / _RUNS for name, total in times.sums.items()})
