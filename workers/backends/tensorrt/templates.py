"""The parts of the reproduction script. Names in braces are filled in; doubled braces are the script's own."""

from __future__ import annotations

HEAD = """from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import tensorrt as trt

SOURCE = Path("{source}"){comment}


"""

SAMPLES = '''
# --- samples ------------------------------------------------------------------------------------


def samples():
    """samples.npz: one array per input, first axis = samples. Without it made-up ones, whose ranges prove nothing."""
    graph = onnx.load(SOURCE, load_external_data=False).graph
    weights = {{tensor.name for tensor in graph.initializer}}
    inputs = [one for one in graph.input if one.name not in weights]
    if Path("samples.npz").exists():
        stored = np.load("samples.npz", allow_pickle=False)
        count = min({count}, *(len(stored[one.name]) for one in inputs))
        return [{{one.name: stored[one.name][index] for one in inputs}} for index in range(count)]
    return [{{one.name: made_up(one, seed) for one in inputs}} for seed in range(32)]


def made_up(one, seed):
    kind = onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
    shape = [dim.dim_value or 1 for dim in one.type.tensor_type.shape.dim]
    return np.random.default_rng(seed).random(shape).astype(kind)
'''

LOAD = """

# --- the graph gets its types -------------------------------------------------------------------

model, folder = load_model(SOURCE), SOURCE.resolve().parent
"""

PRUNE = """
print("zero weights:", prune_model(model, folder, "{pattern}", {share}))
"""

LIFT = """
if operator_set(model) < {least}:
    model = lift(model, {least})
"""

QUANTISE = """
recipe = Recipe.tensorrt("{kind}", method="{method}", percentile={percentile}, exclude={keep}, exclude_types={types})
if operator_set(model) < least_operator_set(model, recipe):
    model = lift(model, least_operator_set(model, recipe))
odd, feeds = prepare(model), samples()
seen = extremes(model, folder, feeds)
nodes = candidates(model, seen, recipe)
left = set(left_in_float(nodes, seen, recipe)) | {{node.name for node in nodes if node.name in odd}}
tensors = {{name: seen[name] for node in nodes if node.name not in left for name in floats_of(node, seen)}}
ranges = ranges_of(model, folder, feeds, tensors, recipe)
quantised = Path("quantised/model.onnx")
quantised.parent.mkdir(exist_ok=True)
insert(model, folder, ranges, recipe, left, quantised)
model, folder = load_model(quantised), quantised.resolve().parent
"""

FP8 = """as_fp8(model)
"""

CAST = """
seen = extremes(model, folder, samples()[:8])
largest = {{name: one.magnitude for name, one in seen.items()}}
left, cast = cast_model(model, folder, "{half}", largest, keep={keep}, keep_types={types})
print(cast, "nodes work in {half}; these stay in float32:", left)
"""

TYPED = """
typed = Path("typed/model.onnx")
typed.parent.mkdir(exist_ok=True)
save_model(model, folder, typed)
SOURCE = typed
"""

BUILD = """
# --- the engine ---------------------------------------------------------------------------------

logger = trt.Logger(trt.Logger.INFO)
builder = trt.Builder(logger)
# From TensorRT 11 on every network is strongly typed; before, it must be asked for.
strongly_typed = 0
if int(trt.__version__.split(".")[0]) < 11:
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
network = builder.create_network(strongly_typed)
parser = trt.OnnxParser(network, logger)
if not parser.parse_from_file(str(SOURCE)):
    raise SystemExit("\\n".join(str(parser.get_error(index)) for index in range(parser.num_errors)))

config = builder.create_builder_config()
config.builder_optimization_level = {level}
config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.{hardware}
config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
{settings}
for ranges in {profiles}:
    profile = builder.create_optimization_profile()
    for name, (smallest, usual, largest) in ranges.items():
        profile.set_shape(name, smallest, usual, largest)
    config.add_optimization_profile(profile)

serialized = builder.build_serialized_network(network, config)
if serialized is None:
    raise SystemExit("TensorRT could not build the engine: see its messages above")
Path("model.engine").write_bytes(serialized)

runtime = trt.Runtime(logger)
runtime.engine_host_code_allowed = True  # a version-compatible engine carries its own runtime
engine = runtime.deserialize_cuda_engine(Path("model.engine").read_bytes())
inspector = engine.create_engine_inspector()
print(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
"""
