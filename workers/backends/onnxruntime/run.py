"""Load an ONNX or .ort file with ONNX Runtime and run it. The reference of every verification is such a session too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from enginehouse.errors import InvalidOption
from workers.backends.base import Array, Arrays, Session, Setting, as_fed

_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


def providers(wanted: str) -> list[str]:
    """ONNX Runtime's names for the option 'provider', in their order. Raises InvalidOption where it is not there."""
    names = _PROVIDERS[wanted]
    here = onnxruntime.get_available_providers()
    if names[0] not in here:
        raise InvalidOption(
            f"this worker's ONNX Runtime has no {names[0]}; it has {', '.join(here)}",
            advice="Name a tag of workers that have it in the target (onnxruntime:fp16@h200), or build for the cpu.",
            option="provider",
        )
    return names


def session_options(setting: Setting, *, optimise: bool = True) -> Any:
    """Explicit settings; everything that is not set here is ONNX Runtime's default."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised; what fails while shapes are tried is no news
    options.intra_op_num_threads = setting.per_stream
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Its threads would otherwise spin on the cores that the other side of the benchmark is timed on.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_profiling = setting.profiling
    return options


class OnnxRuntimeSession(Session):
    """An inference session, on the CPU provider unless another one is named.

    ``executed``: where to write the graph that runs, as ONNX; ``profile_prefix``: where the profile begins its name.
    """

    def __init__(
        self,
        path: Path,
        setting: Setting,
        *,
        optimise: bool = True,
        provider: str = "cpu",
        profile_prefix: Path | None = None,
        executed: Path | None = None,
    ) -> None:
        options = session_options(setting, optimise=optimise)
        if profile_prefix is not None:
            options.profile_file_prefix = str(profile_prefix)
        if executed is not None:
            options.optimized_model_filepath = str(executed)
            weights = f"{executed.name}.data"  # only the graph is wanted, and it may be too large with its weights
            options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
        self.form = "ort" if path.suffix == ".ort" else "onnx"
        self.session = onnxruntime.InferenceSession(path, options, providers=providers(provider))
        self._inputs = {one.name for one in self.session.get_inputs()}
        self._outputs = [one.name for one in self.session.get_outputs()]

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference."""
        taken = {name: as_fed(array) for name, array in feeds.items() if name in self._inputs}
        return dict(zip(self._outputs, self.session.run(self._outputs, taken), strict=True))

    def beside(self) -> Session:
        """Itself: its ``run`` may be called from many threads."""
        return self

    def settings(self) -> dict[str, Any]:
        """Read back from the session."""
        options = self.session.get_session_options()
        return {
            "form": self.form,
            "providers": ",".join(self.session.get_providers()),
            "graph_optimization_level": options.graph_optimization_level.name,
            "intra_op_num_threads": options.intra_op_num_threads,
            "inter_op_num_threads": options.inter_op_num_threads,
            "execution_mode": options.execution_mode.name,
        }
