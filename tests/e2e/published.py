"""The graphs that the onnx package publishes with inputs and outputs, and the toolchains called without the farm.

``python published.py BACKEND FOLDER`` reads graph names from standard input and says, a JSON line each, how the
toolchain alone does.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

DATA = Path(onnx.__file__).parent / "backend/test/data"


@dataclass(frozen=True)
class Published:
    """A graph with the inputs and outputs published beside it."""

    name: str
    path: Path

    @cached_property
    def graph(self) -> Any:
        return onnx.load(self.path).graph

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Input name to array; the light networks are fed what the package's own runner feeds them."""
        weights = {tensor.name for tensor in self.graph.initializer}
        specs = [one for one in self.graph.input if one.name not in weights]
        files = sorted(self.path.parent.glob("test_data_set_0/input_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
        if files:
            return {spec.name: read(file) for spec, file in zip(specs, files, strict=True)}
        shapes = {spec.name: [dim.dim_value or 1 for dim in spec.type.tensor_type.shape.dim] for spec in specs}
        return {name: ramp(shape) for name, shape in shapes.items()}

    @property
    def outputs(self) -> list[np.ndarray]:
        files = sorted(self.path.parent.glob("test_data_set_0/output_*.pb"), key=lambda p: int(p.stem.split("_")[1]))
        return [read(file) for file in files or [self.path.with_name(f"{self.path.stem}_output_0.pb")]]

    def given_by(self, outputs: list[np.ndarray]) -> bool:
        """Whether outputs, in the graph's order, are the published ones."""
        wanted = self.outputs
        return len(outputs) == len(wanted) and all(
            mine.shape == true.shape and np.allclose(mine, true, rtol=1e-3, atol=1e-5, equal_nan=True)
            for mine, true in zip(outputs, wanted, strict=True)
        )


def read(path: Path) -> np.ndarray:
    tensor = TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def ramp(shape: list[int]) -> np.ndarray:
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) / size).astype(np.float32)


def all_published() -> list[Published]:
    """Nine classic networks, then what PyTorch exported."""
    light = [Published(path.stem, path) for path in sorted(DATA.glob("light/light_*.onnx"))]
    exported = [Published(path.parent.name, path) for path in sorted(DATA.glob("pytorch-*/*/model.onnx"))]
    return light + exported


def openvino(one: Published, folder: Path) -> list[np.ndarray]:
    import openvino as ov

    del folder
    compiled = ov.Core().compile_model(ov.convert_model(one.path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(list(one.inputs.values()))
    return [np.asarray(results[index]) for index in range(len(compiled.outputs))]


def onnxruntime(one: Published, folder: Path) -> list[np.ndarray]:
    import onnxruntime as ort

    del folder
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(one.path, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, one.inputs))


def litert(one: Published, folder: Path) -> list[np.ndarray]:
    import onnx2tf
    from ai_edge_litert.interpreter import Interpreter

    sample = np.random.default_rng(0).random((20, 128, 128, 3)).astype(np.float32)
    for module in list(sys.modules.values()):  # it would fetch pictures from the network
        if getattr(module, "__name__", "").startswith("onnx2tf") and hasattr(module, "download_test_image_data"):
            module.download_test_image_data = lambda: sample
    copied = folder / "model.onnx"  # it writes a simplified graph over its input
    copied.write_bytes(one.path.read_bytes())
    onnx2tf.convert(
        input_onnx_file_path=str(copied),
        output_folder_path=str(folder / "made"),
        keep_shape_absolutely_input_names=list(one.inputs),
        non_verbose=True,
    )
    interpreter = Interpreter(str(next((folder / "made").glob("*_float32.tflite"))), num_threads=1)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), one.inputs.values(), strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def main(backend: str, folder: Path) -> None:
    known = {one.name: one for one in all_published()}
    alone = {"openvino": openvino, "onnxruntime": onnxruntime, "litert": litert}[backend]
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        one = known[line.strip()]
        with tempfile.TemporaryDirectory(dir=folder) as work:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    passed, why = one.given_by(alone(one, Path(work))), "other outputs"
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a toolchain raises, it has not passed
                passed, why = False, f"{type(error).__name__}: {error}".splitlines()[0][:200]
        answer.write(json.dumps({"name": one.name, "passed": passed, "why": "" if passed else why}) + "\n")
        answer.flush()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    main(sys.argv[1], Path(sys.argv[2]))
