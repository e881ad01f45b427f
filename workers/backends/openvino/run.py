"""Load an artifact and run it, with every setting that changes a number given and read back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import openvino

from enginehouse.errors import PrecisionNotKept
from workers.backends.base import Array, Arrays, Saved, Session, Setting, as_fed
from workers.backends.openvino import blob, runtime

_HINT = "INFERENCE_PRECISION_HINT"
_READ_BACK = (
    "PERFORMANCE_HINT",
    _HINT,
    "INFERENCE_NUM_THREADS",
    "NUM_STREAMS",
    "ENABLE_CPU_PINNING",
    "ENABLE_HYPER_THREADING",
    "EXECUTION_MODE_HINT",
)


def compiled(path: Path, told: runtime.Runtime, setting: Setting) -> Any:
    """The compiled model: from the blob where the bundle has one. Raises PrecisionNotKept, CompileFailed."""
    config: dict[str, Any] = {
        **told.config,
        "INFERENCE_NUM_THREADS": setting.threads,
        # Pinned threads of two builds would sit on the same cores, and the baseline does not pin either.
        "ENABLE_CPU_PINNING": False,
        "PERF_COUNT": setting.profiling,
    }
    if setting.streams is not None:
        config["NUM_STREAMS"] = setting.streams
    core = openvino.Core()
    if told.blob is not None:
        made = blob.load(core, told.blob, path.parent, told.device, config)
    else:
        made = core.compile_model(path, told.device, config)
    wanted, kept = told.config[_HINT], made.get_property(_HINT).get_type_name()
    if kept != wanted:
        raise PrecisionNotKept(
            f"the artifact is to be computed in {wanted}; on this {told.device} OpenVINO computes in {kept}",
            precision=wanted,
        )
    return made


class OpenVinoSession(Session):
    """A compiled artifact with one infer request."""

    def __init__(self, saved: Saved, setting: Setting) -> None:
        told = runtime.read(saved.folder)
        self.device = told.device
        self.compiled = compiled(saved.path, told, setting)
        self.request = self.compiled.create_infer_request()
        self._shapes = {name: port.get_partial_shape() for port in self.compiled.inputs for name in port.names}
        self._outputs = [port.names or {f"output{index}"} for index, port in enumerate(self.compiled.outputs)]

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference. An output with several names is given under each of them."""
        taken = {name: as_fed(array) for name, array in feeds.items() if name in self._shapes}
        results = self.request.infer(taken, share_inputs=True)
        found: dict[str, Array] = {}
        for index, names in enumerate(self._outputs):
            for name in names:
                found[name] = results[index]
        return found

    def beside(self) -> Session:
        """Another infer request of the same compiled model."""
        other = copy.copy(self)
        other.request = self.compiled.create_infer_request()
        return other

    def takes(self, feeds: Arrays) -> bool:
        """Whether the inputs' shapes are among those that the artifact was made for."""
        return all(
            shape.compatible(openvino.PartialShape(list(feeds[name].shape)))
            for name, shape in self._shapes.items()
            if name in feeds
        )

    def settings(self) -> dict[str, Any]:
        """Read back from the compiled model."""
        found = {name: _plain(self.compiled.get_property(name)) for name in _READ_BACK}
        return {"device": self.device, **found}


def _plain(value: Any) -> str | int | float | bool:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, openvino.Type):
        return str(value.get_type_name())
    return str(getattr(value, "name", value))
