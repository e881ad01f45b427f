"""The TensorRT and CUDA surface that the backend uses, against NVIDIA's real bindings of 10.16 and 11.4.

They are imported over stub libraries, on a machine without a GPU. This checks names, members, arguments and our own
modules as far as they go without a device. It builds nothing: tests/gpu does.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from contract.backends_models import convolution, order, write
from contract.tensorrt_stubs.make import TAG, VERSIONS, Bindings, make
from contract.tensorrt_stubs.surface import FILES, Use, uses, uses_of_folder
from services.process import missing

from enginehouse.shapes import ShapeRange
from workers.backends import get
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline.samples import OrderSamples
from zoo import ZooError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workers" / "backends" / "tensorrt"
STUBS = Path(__file__).parent / "tensorrt_stubs"


@pytest.fixture(scope="module", params=sorted(VERSIONS))
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    version: str = request.param
    if platform.machine() != "x86_64" or TAG not in VERSIONS[version]["wheels"]:
        pytest.skip(f"no wheel of TensorRT {version} is pinned for {TAG} on {platform.machine()}")
    try:
        return make(version, tmp_path_factory.mktemp(version))
    except FileNotFoundError as error:
        missing("gcc", str(error))
    except ZooError as error:
        if "could not download" not in str(error):
            raise
        missing("the package index", str(error))


def in_python(bindings: Bindings, script: str, asked: Any = None) -> dict[str, Any]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(bindings.site), str(ROOT)]),
        "LD_LIBRARY_PATH": str(bindings.libraries),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", STUBS / script],
        input=json.dumps(asked),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def problems(bindings: Bindings, found: list[Use]) -> list[str]:
    answer = in_python(bindings, "look.py", [use.as_dict() for use in found])
    return [f"{one['place']}: {one['problem']}" for one in answer["problems"]]


def test_everything_that_the_backend_uses_is_there(bindings: Bindings) -> None:
    found = uses_of_folder(FOLDER)
    named = {f"{use.owner}.{use.name}" for use in found}
    # What a build cannot do without: if the collector missed it, an empty list of problems would say nothing.
    assert {
        "trt.BuilderFlag.TF32", "trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED", "Builder.build_serialized_network",
        "Builder.create_network", "OnnxParser.parse_from_file", "IBuilderConfig.set_timing_cache",
        "ITimingCache.combine", "ITimingCache.serialize", "Runtime.deserialize_cuda_engine",
        "OnnxParserRefitter.refit_from_file", "IExecutionContext.execute_async_v3", "IExecutionContext.set_input_shape",
        "IOutputAllocator.reallocate_output_async", "IProfiler.report_layer_time", "ILogger.log",
        "EngineInspector.get_engine_information", "ICudaEngine.get_tensor_profile_shape", "cudart.cudaMemcpyAsync",
        "IOptimizationProfile.set_shape", "IOptimizationProfile.set_shape_input",
    } <= named  # fmt: skip
    assert len(found) > 100
    assert problems(bindings, found) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "fp8"])
def test_everything_that_the_script_in_the_bundle_uses_is_there(
    bindings: Bindings, precision: str, tmp_path: Path
) -> None:
    options = {"strip_plan": True, "workspace_mb": 1, "aux_streams": 1, "dla_core": 0, "prune": "2:4"}
    text = script(write(convolution(), tmp_path), precision, options)
    compile(text, "reproduce.py", "exec")
    stages, marker, engine = text.partition("# --- the engine")
    assert marker
    assert "trt." not in stages
    found = uses(ast.parse(marker + engine), "reproduce.py")
    assert "Builder.build_serialized_network" in {f"{use.owner}.{use.name}" for use in found}
    assert problems(bindings, found) == []


def script(path: Path, precision: str, options: dict[str, Any]) -> str:
    """What the bundle's reproduce.py says, two profiles included."""
    told = order(path, f"tensorrt:{precision}", path.parent / "work", options=options)
    ranges = {"x": ShapeRange(min=(1, 3, 8, 8), opt=(1, 3, 16, 16), max=(2, 3, 32, 32))}
    backend = get("tensorrt")
    return backend.reproduce(
        Workpiece(
            source=Source(path, told.signature),
            target=told.recipe.target,
            options=backend.options.model_validate(options),
            work=told.work,
            samples=OrderSamples(told, Source(path, told.signature), 1),
            profiles=(ranges, ranges),
        )
    )


def test_our_own_modules_run_over_the_stubs(bindings: Bindings) -> None:
    told = in_python(bindings, "rehearse.py")
    version = told["version"]
    assert told == {
        "version": version,
        "flags": True,
        "network_flags": 0 if version.startswith("11.") else 1 << 1,
        "types": ["float32", "float16", "int64", "bfloat16", "float8_e4m3fn"],
        "failure": "the graph is no good",
        "sparsity": 1,
        "times": {"conv": 750.0},
        "allocated": 0,
        "shape": [2, 3],
        "refused": ["cudaStreamCreateWithFlags", "cudaMalloc", "cudaGetDeviceCount"],
        "machine": told["machine"],
        "builder": "TensorRT gives no builder: it does not say why",
        "runtime": "TensorRT gives no runtime: it does not say why",
    }
    assert told["machine"].startswith("no GPU that TensorRT can use: cudaGetDeviceCount: ")


MISUSED = {
    "a flag that 11 removed": ("config.set_flag(trt.BuilderFlag.FP16)", "11", "trt has no BuilderFlag.FP16"),
    "a calibrator": ("config.int8_calibrator = None", "11", "IBuilderConfig has no int8_calibrator"),
    "a flag that never was": ("x = trt.BuilderFlag.TURBO", "1", "trt has no BuilderFlag.TURBO"),
    "a class that never was": ("trt.EngineMaker()", "1", "trt has no EngineMaker"),
    "a method of long ago": ("self.context.execute_async(1)", "1", "IExecutionContext has no execute_async"),
    "an argument too few": ("builder.build_serialized_network(network)", "1", "is given 1 arguments"),
    "an argument too many": ("parser.parse_from_file('a', 'b')", "1", "is given 2 arguments"),
    "a keyword that is not": ("config.set_timing_cache(cache, ignore=True)", "1", "1 arguments, ignore="),
    "a property that is called": ("engine.num_layers()", "1", "is a property and cannot be called"),
    "a property that is read only": ("engine.num_layers = 3", "1", "cannot be set"),
    "a CUDA function that is not": ("call(cudart.cudaMallocate, 8)", "1", "cudart has no cudaMallocate"),
    "a CUDA argument too few": ("call(cudart.cudaMemcpyAsync, 1, 2, 3)", "1", "is given 3 arguments"),
    "a method that nobody calls": (
        "class A(trt.IProfiler):\n    def report_layer_times(self, name, ms): ...",
        "1",
        "IProfiler has no report_layer_times to override",
    ),
    "an override of other arguments": (
        "class A(trt.IOutputAllocator):\n    def reallocate_output_async(self, name, memory): ...",
        "1",
        "is called with [5] arguments",
    ),
}


@pytest.mark.parametrize("what", MISUSED)
def test_a_planted_misuse_is_found(bindings: Bindings, what: str) -> None:
    code, version, expected = MISUSED[what]
    found = problems(bindings, uses(ast.parse(code), "planted.py"))
    if bindings.site.parent.name.startswith(version):
        assert any(expected in one for one in found), found
    else:
        assert found == []  # 10.16 still has it


def test_no_other_file_of_the_backend_touches_tensorrt_or_cuda() -> None:
    for file in FOLDER.glob("*.py"):
        imports = {
            alias.name.split(".")[0] for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)
        }  # fmt: skip
        if imports & {"tensorrt", "cuda"}:
            assert file.name in (*FILES, "__init__.py"), file
