"""Half precision and INT8: the stages with this backend's options, and what they say to the report."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from enginehouse.errors import InvalidOption, PrecisionNotKept, ReferenceFailed
from enginehouse.quantization import GENERATED, Quantization
from workers.backends.base import Arrays
from workers.backends.onnxruntime import lineage, record
from workers.backends.workpiece import Source, Workpiece
from workers.stages.cast import cast
from workers.stages.graph import all_nodes, load_model, save_model
from workers.stages.quantize import ACTIVATED, EVERY, Recipe, is_quantized, noise, quantize, quantizes

_WEIGHT_BITS = 8
_BLOCK = 32
"""Weights that share a scale where only weights are quantised."""
_DYNAMIC = ("MatMul", "LSTM", "Attention", "Gather", "EmbedLayerNormalization")
"""Not Conv: its integer kernel is slower than the float one, and coarse."""
_SHOWN = 3
_MOST_BYTES_LOOKED_AT = 256 * 2**20


def half(piece: Workpiece, source: Source) -> Source:
    """The optimised graph in FP16."""
    options = piece.options
    feeds: Sequence[Arrays] | None = None
    try:
        feeds = piece.samples.typical()
    except ReferenceFailed as error:
        piece.notes.say(f"cast by kinds of operators alone, since the source model could not be run: {error.detail}")
    keep = staged_names(piece, options.keep_float)
    types = options.keep_float_types
    made, kept = cast(source, piece.precision, feeds, piece.work, keep=keep, keep_types=types, threads=piece.threads)
    record.keep(piece.work, kept=kept, already=made is source)
    _, origin = lineage.read(piece.work)
    piece.notes.kept_float = lineage.source_names(kept, origin)
    return made


def int8(piece: Workpiece, source: Source) -> Source:
    """The optimised graph with Q/DQ nodes or integer operators."""
    options = piece.options
    model = load_model(source.path)
    if is_quantized(model):
        piece.notes.say("the model is quantised already: its own scales are kept, and nothing was calibrated")
        record.keep(piece.work, already=True)
        return source
    exclude = staged_names(piece, options.keep_float)
    exclude |= {node.name for node in all_nodes(model.graph) if node.op_type in options.keep_float_types}
    how = options.quantization or Quantization.STATIC
    if how == Quantization.STATIC:
        return _static(piece, source, exclude)
    record.keep(piece.work, kept=sorted(exclude))
    folder = piece.work / str(how)
    folder.mkdir(parents=True, exist_ok=True)
    if how == Quantization.DYNAMIC:
        path = dynamic(model, source.folder, folder, exclude, per_channel=options.per_channel)
    else:
        path = weights_only(model, source.folder, folder, exclude)
    quantized = [node for node in all_nodes(load_model(path).graph) if quantizes(node.op_type)]
    count = sum(node.op_type != "DynamicQuantizeLinear" for node in quantized)
    if not count:
        raise PrecisionNotKept(
            f"quantization={how} changes matrix products with constant weights"
            f"{' and recurrent cells' if how == Quantization.DYNAMIC else ''}, and the model has none",
            advice="Use quantization=static with a dataset: it quantises convolutions too.",
        )
    words = "activations while it runs" if how == Quantization.DYNAMIC else "weights only"
    piece.notes.say(f"quantised operators: {count} ({words})")
    piece.notes.kept_float = list(options.keep_float)
    return Source(path, source.signature)


def recipe_of(options: Any, threads: int) -> Recipe:
    """The options as the stage takes them."""
    return Recipe(
        method=options.method,
        percentile=options.percentile,
        per_channel=options.per_channel,
        activation=options.activation,
        symmetric=options.activation == "int8",
        reduce_range=sums_saturate(),
        types=EVERY if options.operators == "all" else ACTIVATED,
        threads=threads,
    )


def dynamic(model: Any, folder: Path, work: Path, exclude: Collection[str], *, per_channel: bool) -> Path:
    """Weights INT8 ahead, activations UINT8 while it runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    from workers.stages.graph import forget_shapes, lift_constants

    lift_constants(model.graph)
    forget_shapes(model)
    add_pre_process_metadata(model)
    large = len(save_model(model, folder, work / "float.onnx")) > 1
    quantize_dynamic(
        work / "float.onnx",
        work / "model.onnx",
        op_types_to_quantize=list(_DYNAMIC),
        per_channel=per_channel,
        reduce_range=sums_saturate(),
        weight_type=QuantType.QInt8,
        nodes_to_exclude=sorted(exclude),
        use_external_data_format=large,
        extra_options={"EnableSubgraph": True},
    )
    return work / "model.onnx"


def weights_only(model: Any, folder: Path, work: Path, exclude: Collection[str]) -> Path:
    """Weights of matrix products in INT8 blocks, computed in float (ONNX Runtime's MatMulNBits)."""
    import logging

    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    level, handlers = logging.root.level, list(logging.root.handlers)
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    logging.root.handlers[:] = handlers  # importing it set up the root logger to tell of every node
    logging.root.setLevel(level)
    from workers.stages.graph import lift_constants

    lift_constants(model.graph)
    save_model(model, folder, work / "float.onnx")
    whole = onnx.load(work / "float.onnx")
    ONNXModel(whole).replace_gemm_with_matmul()
    config = DefaultWeightOnlyQuantConfig(block_size=_BLOCK, is_symmetric=True, bits=_WEIGHT_BITS)
    quantizer = MatMulNBitsQuantizer(whole, nodes_to_exclude=sorted(exclude), algo_config=config)
    quantizer.process()
    save_model(quantizer.model.model, work, work / "model.onnx")
    return work / "model.onnx"


def staged_names(piece: Workpiece, names: Collection[str]) -> set[str]:
    """Nodes of the optimised graph that stand for these nodes of the source. Raises InvalidOption for unknown ones."""
    staged, origin = lineage.read(piece.work)
    wanted = set(names)
    found = {node.name for node in staged if wanted.intersection(origin.get(node.name) or [node.name])}
    unknown = sorted(wanted.difference(known_names(piece, names)))
    if unknown:
        raise InvalidOption(
            f"the model has no node '{unknown[0]}', or ONNX Runtime folded it away",
            advice="The layer report of an fp32 build lists the names of the source's nodes.",
            option="keep_float",
            nodes=unknown[:20],
        )
    return found


def known_names(piece: Workpiece, names: Collection[str]) -> list[str]:
    """Those of the names that some node of the optimised graph stands for."""
    staged, origin = lineage.read(piece.work)
    known = {one for node in staged for one in (origin.get(node.name) or [node.name])}
    return [name for name in names if name in known]


def sums_saturate() -> bool:
    """Whether the processor adds products of eight bits in sixteen (x86 with AVX2 or AVX-512, but without VNNI)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    return bool(flags & {"avx2", "avx512f"}) and not flags & {"avx_vnni", "avx512_vnni"}


def _static(piece: Workpiece, source: Source, exclude: set[str]) -> Source:
    options = piece.options
    calibration, feeds = piece.samples.calibration(options.calibration_samples, options.calibration == GENERATED)
    recipe = replace(recipe_of(options, piece.threads), exclude=tuple(sorted(exclude)))
    made, found = quantize(source, feeds, piece.work, recipe)
    record.keep(piece.work, kept=sorted([*found.kept, *found.alone]), ranges=found.ranges)
    calibration.method = found.method
    piece.notes.calibration = calibration
    _, origin = lineage.read(piece.work)
    piece.notes.kept_float = lineage.source_names(found.kept, origin)
    if recipe.reduce_range:
        piece.notes.say("weights have seven bits: this processor adds products of eight bits in sixteen")
    if source.path.stat().st_size <= _MOST_BYTES_LOOKED_AT:
        worst = sorted(noise(source, made, feeds[0], piece.threads).items(), key=lambda item: item[1])[:_SHOWN]
        if worst:
            text = ", ".join(f"{name} {ratio:.0f} dB" for name, ratio in worst)
            piece.notes.say(f"tensors that INT8 costs most (signal to noise on the first sample): {text}")
    return made
