"""The parts of the script that repeats a build."""

HEAD = """from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

{stages}

PROVIDERS = {providers}


def optimise(model, folder, target, level, form):
    \"\"\"Let ONNX Runtime optimise a graph whose external data lies in the folder, and write it.\"\"\"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    tensors = model.graph.initializer
    outside = any(tensor.data_location == tensor.EXTERNAL for tensor in tensors)
    if form == "ort":
        options.add_session_config_entry("session.save_model_format", "ORT")
    elif outside or sum(bytes_of(tensor) for tensor in tensors) > 1_500_000_000:
        weights = f"{{target.name}}.data"
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)


source = Path("{source}"){comment}
work, bundle = Path("work"), Path("bundle")
work.mkdir(exist_ok=True)
bundle.mkdir(exist_ok=True)
model, folder = load_model(source), source.parent.resolve()
if operator_set(model) < 7:  # ONNX Runtime runs no older ones, and the version converter knows the way to 13
    model = tidied(onnx.version_converter.convert_version(model, 13))[0]
"""

PRUNE = """
zeroed = prune_model(model, folder, "{pattern}", {share})
print("share of weights that are zero:", zeroed.total)
"""

BEFORE = """
optimise(model, folder, work / "optimised.onnx", "{level}", "onnx")
model, folder = load_model(work / "optimised.onnx"), work.resolve()
"""

HALF = """
{kept}
unique_tensors(model)
cast_model(model, folder, "float16", {{}}, keep=KEPT, keep_types={types})
save_model(model, folder, work / "half.onnx")
model, folder = load_model(work / "half.onnx"), work.resolve()
"""

SAVE = """
save_model(model, folder, bundle / "model.onnx")
"""

WRITE = """
optimise(model, folder, bundle / "{entry}", "{level}", "{form}")
"""

STATIC = """
{kept}
recipe = Recipe({recipe})
least = least_operator_set(model, recipe)
if operator_set(model) < least:
    model = lift(model, least)
prepare(model)
{ranges}
insert(model, folder, ranges, recipe, KEPT, work / "quantised.onnx")
model, folder = load_model(work / "quantised.onnx"), work.resolve()
"""

FROM_DATASET = """
# dataset.npz: one array per input, first axis = samples.
stored = np.load("dataset.npz", allow_pickle=False)
types = {types}
count = min({most}, *(len(stored[name]) for name in types))
feeds = [{{name: stored[name][i].astype(kind) for name, kind in types.items()}} for i in range(count)]
seen = extremes(model, folder, feeds)
nodes = candidates(model, seen, recipe)
KEPT = [*KEPT, *left_in_float(nodes, seen, recipe)]
KEPT += lone_activations(model, nodes, KEPT)
taken = {{name: seen[name] for node in nodes if node.name not in KEPT for name in floats_of(node, seen)}}
ranges = ranges_of(model, folder, feeds, taken, recipe)
"""

FROM_RANGES = """
# Of inputs that the farm made up.
ranges = {ranges}
"""

NO_RANGES = """
raise SystemExit("the build ended before the ranges of its made-up inputs were known: put dataset.npz here instead")
"""

DYNAMIC = """
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

{kept}
lift_constants(model.graph)
forget_shapes(model)
add_pre_process_metadata(model)
large = len(save_model(model, folder, work / "float.onnx")) > 1
quantize_dynamic(
    work / "float.onnx",
    work / "quantised.onnx",
    op_types_to_quantize=["MatMul", "LSTM", "Attention", "Gather", "EmbedLayerNormalization"],
    per_channel={per_channel},
    reduce_range={reduce_range},
    weight_type=QuantType.QInt8,
    nodes_to_exclude=KEPT,
    use_external_data_format=large,
    extra_options={{"EnableSubgraph": True}},
)
model, folder = load_model(work / "quantised.onnx"), work.resolve()
"""

WEIGHTS = """
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_model import ONNXModel

{kept}
lift_constants(model.graph)
save_model(model, folder, work / "float.onnx")
model = onnx.load(work / "float.onnx")
ONNXModel(model).replace_gemm_with_matmul()
config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, bits=8)
quantizer = MatMulNBitsQuantizer(model, nodes_to_exclude=KEPT, algo_config=config)
quantizer.process()
save_model(quantizer.model.model, work, work / "quantised.onnx")
model, folder = load_model(work / "quantised.onnx"), work.resolve()
"""

LOAD = """
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}
session = onnxruntime.InferenceSession(bundle / "{entry}", options, providers=PROVIDERS)
print([one.name for one in session.get_outputs()])
"""
