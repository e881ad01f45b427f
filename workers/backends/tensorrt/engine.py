"""ONNX to a serialised engine, and back: parse, build, deserialise, refit, and what an engine says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorrt as trt

from enginehouse.errors import BuildError, CompileFailed, ConversionFailed, UnsupportedOperator
from enginehouse.shapes import Profile, ShapeRange
from workers.backends.tensorrt import versions
from workers.backends.tensorrt.builder_config import LEVELS, add_profiles, apply
from workers.backends.tensorrt.inspector import engine_layers
from workers.backends.tensorrt.messages import messages
from workers.backends.tensorrt.plan import Plan
from workers.backends.tensorrt.readback import EngineFacts, Tensor

ShapeValues = dict[str, tuple[list[int], list[int], list[int]]]

_UNSUPPORTED = frozenset(
    {
        trt.ErrorCode.UNSUPPORTED_GRAPH,
        trt.ErrorCode.UNSUPPORTED_NODE,
        trt.ErrorCode.UNSUPPORTED_NODE_ATTR,
        trt.ErrorCode.UNSUPPORTED_NODE_INPUT,
        trt.ErrorCode.UNSUPPORTED_NODE_DATATYPE,
        trt.ErrorCode.UNSUPPORTED_NODE_DYNAMIC,
        trt.ErrorCode.UNSUPPORTED_NODE_SHAPE,
    }
)
_MOST_NODES = 20


class Definition:
    """A parsed network with everything that must outlive it: the parser holds the weights."""

    def __init__(self, path: Path) -> None:
        messages().forget()
        with _given("builder"):
            self.builder = trt.Builder(messages())
        self.network = self.builder.create_network(versions.network_flags(trt))
        self.parser = trt.OnnxParser(self.network, messages())
        if not self.parser.parse_from_file(str(path)):
            raise _refused(self.parser)

    def shape_inputs(self) -> list[str]:
        """Inputs whose values decide shapes: a profile bounds their values instead of their dimensions."""
        network = self.network
        tensors = [network.get_input(index) for index in range(network.num_inputs)]
        return [tensor.name for tensor in tensors if tensor.is_shape_tensor]

    def build(
        self, plan: Plan, profiles: Sequence[Profile], values: ShapeValues, attach: Callable[[Any], Any]
    ) -> tuple[Any, Any]:
        """The serialised engine (trt.IHostMemory) and the configuration that it was built with.

        ``attach`` gets the configuration and gives it a timing cache, which is kept alive. Raises CompileFailed with
        TensorRT's first error.
        """
        config = self.builder.create_builder_config()
        apply(plan, self.builder, config)
        add_profiles(profiles, values, self.builder, config)
        if plan.version_compatible and (libraries := self.parser.get_used_vc_plugin_libraries()):
            config.plugins_to_serialize = libraries
        timings = attach(config)
        messages().forget()
        serialized = self.builder.build_serialized_network(self.network, config)
        del timings
        if serialized is None:
            raise messages().failure(CompileFailed, "TensorRT could not build the engine")
        return serialized, config


def deserialize(path: Path, *, host_code: bool) -> Any:
    """The engine (trt.ICudaEngine) in a file. Raises CompileFailed.

    ``host_code``: a version-compatible engine carries the runtime that runs it. It was built in this farm, and the
    process that runs it is confined.
    """
    messages().forget()
    with _given("runtime"):
        runtime = trt.Runtime(messages())
    runtime.temporary_directory = os.environ.get("TMPDIR", str(path.parent))
    runtime.engine_host_code_allowed = host_code
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise messages().failure(CompileFailed, "TensorRT cannot load the engine")
    return engine


@contextmanager
def _given(what: str) -> Iterator[None]:
    """The bindings say TypeError where the library gives nothing: without a GPU that works, for one."""
    try:
        yield
    except TypeError as error:
        raise messages().failure(CompileFailed, f"TensorRT gives no {what}") from error


def refit(engine: Any, weights: Path) -> None:
    """Give a stripped engine (trt.ICudaEngine) the weights of the ONNX that it was built from. Raises CompileFailed."""
    messages().forget()
    refitter = trt.Refitter(engine, messages())
    parser_refitter = trt.OnnxParserRefitter(refitter, messages())
    if not parser_refitter.refit_from_file(str(weights)):
        raise messages().failure(CompileFailed, f"the weights of {weights.name} do not fit the engine")
    if not refitter.refit_cuda_engine():
        missing = ", ".join(refitter.get_missing_weights()[:_MOST_NODES])
        raise messages().failure(CompileFailed, f"the engine could not be refitted; it lacks {missing or 'no weights'}")


def facts(engine: Any) -> EngineFacts:
    """What an engine (trt.ICudaEngine) says of itself."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    levels = {theirs: ours for ours, theirs in LEVELS.items()}
    inspector = engine.create_engine_inspector()
    information = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return EngineFacts(
        inputs=tuple(_tensor(engine, name) for name in inputs),
        outputs=tuple(_tensor(engine, name) for name in names if name not in inputs),
        profiles=tuple(_profile(engine, inputs, index) for index in range(engine.num_optimization_profiles)),
        hardware_compatibility=levels.get(engine.hardware_compatibility_level, "unknown"),
        refittable=bool(engine.refittable),
        aux_streams=int(engine.num_aux_streams),
        detailed=engine.profiling_verbosity == trt.ProfilingVerbosity.DETAILED,
        layers=tuple(engine_layers(information)),
    )


def dtype_name(kind: Any) -> str:
    """NumPy's name of a trt.DataType; TensorRT's own, in lower case, where NumPy has none."""
    try:
        return str(np.dtype(trt.nptype(kind)))
    except TypeError:
        return {trt.DataType.BF16: "bfloat16", trt.DataType.FP8: "float8_e4m3fn"}.get(kind, str(kind.name).lower())


def _tensor(engine: Any, name: str) -> Tensor:
    return Tensor(name, dtype_name(engine.get_tensor_dtype(name)), tuple(engine.get_tensor_shape(name)))


def _profile(engine: Any, inputs: Sequence[str], index: int) -> Profile:
    """Ranges of the inputs with dynamic dimensions."""
    found: Profile = {}
    for name in inputs:
        if -1 in tuple(engine.get_tensor_shape(name)):
            low, usual, high = (tuple(one) for one in engine.get_tensor_profile_shape(name, index))
            found[name] = ShapeRange(min=low, opt=usual, max=high)
    return found


def _refused(parser: Any) -> BuildError:
    """The parser's (trt.OnnxParser) errors as one of ours, with operators and nodes."""
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if not errors:
        return messages().failure(ConversionFailed, "TensorRT cannot read the ONNX")
    worst = [error for error in errors if error.code() in _UNSUPPORTED]
    error = (worst or errors)[0]
    operators = sorted({one.node_operator() for one in worst or errors if one.node_operator()})
    nodes = [one.node_name() for one in worst or errors if one.node_name()][:_MOST_NODES]
    at = f"{error.node_operator()} '{error.node_name()}': " if error.node_operator() else ""
    kind = UnsupportedOperator if worst else ConversionFailed
    return kind(f"TensorRT's ONNX parser refuses {at}{error.desc()}", operators=operators, nodes=nodes)
