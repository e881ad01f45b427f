"""Load an IR and run it, with every setting that changes a number given and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
import openvino.properties as props
import openvino.properties.hint as hints

from workers.backends.base import Array, Arrays, Session, Setting, as_fed

_READ_BACK = (
    "PERFORMANCE_HINT",
    "INFERENCE_PRECISION_HINT",
    "INFERENCE_NUM_THREADS",
    "NUM_STREAMS",
    "ENABLE_CPU_PINNING",
    "ENABLE_HYPER_THREADING",
    "EXECUTION_MODE_HINT",
)


def compile_ir(path: Path, hint: str, setting: Setting) -> Any:
    """The compiled model. f32 always: on a CPU with AMX the plugin would choose bf16 by itself."""
    config = {
        hints.performance_mode: getattr(hints.PerformanceMode, hint.upper()),
        hints.inference_precision: openvino.Type.f32,
        props.inference_num_threads: setting.threads,
        # Pinned threads of two builds would sit on the same cores, and the baseline does not pin either.
        hints.enable_cpu_pinning: False,
        props.enable_profiling: setting.profiling,
    }
    return openvino.Core().compile_model(path, "CPU", config)


class OpenVinoSession(Session):
    """A compiled IR with one infer request."""

    def __init__(self, path: Path, hint: str, setting: Setting) -> None:
        self.compiled = compile_ir(path, hint, setting)
        self.request = self.compiled.create_infer_request()
        self._inputs = {name for port in self.compiled.inputs for name in port.names}
        self._outputs = [port.names or {f"output{index}"} for index, port in enumerate(self.compiled.outputs)]

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference. An output with several names is given under each of them."""
        taken = {name: as_fed(array) for name, array in feeds.items() if name in self._inputs}
        results = self.request.infer(taken, share_inputs=True)
        found: dict[str, Array] = {}
        for index, names in enumerate(self._outputs):
            for name in names:
                found[name] = results[index]
        return found

    def settings(self) -> dict[str, Any]:
        """Read back from the compiled model."""
        found = {name: _plain(self.compiled.get_property(name)) for name in _READ_BACK}
        return {"device": "CPU", **found}


def _plain(value: Any) -> str | int | float | bool:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, openvino.Type):
        return str(value.get_type_name())
    return str(getattr(value, "name", value))
