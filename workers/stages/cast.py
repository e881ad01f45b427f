"""FP16 and BF16: the graph in half precision, with float32 where values overflow or digits count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from onnx import TensorProto

from enginehouse.errors import ConversionFailed, InvalidOption, PrecisionNotKept, UnsupportedOperator
from enginehouse.targets import Precision
from workers.backends.base import Arrays
from workers.backends.workpiece import Source
from workers.stages.casting import cast_model
from workers.stages.graph import all_graphs, all_nodes, load_model, save_model
from workers.stages.operators import unique_tensors
from workers.stages.opset import described, lifted
from workers.stages.ranges import extremes

HALVES = {Precision.FP16: "float16", Precision.BF16: "bfloat16"}
_BF16_OPSET = 22
"""Convolutions, poolings and recurrent cells take bfloat16 from here on."""
_FEEDS = 8


def cast(
    source: Source,
    precision: Precision,
    feeds: Sequence[Arrays] | None,
    work: Path,
    *,
    keep_io: bool = True,
    keep: Collection[str] = (),
    keep_types: Collection[str] = (),
    threads: int = 1,
) -> tuple[Source, list[str]]:
    """The model in half precision, and the names of the nodes that stayed in float32.

    ``feeds``: inputs that tell which tensors take large values (a few are looked at), or None. ``keep``,
    ``keep_types``: nodes and operator types that stay. ``keep_io``: inputs and outputs stay float32. ``threads`` to
    look at them with.
    A model that is half already comes back as it is. Raises ConversionFailed for double weights, InvalidOption for a
    node that is not there, PrecisionNotKept where nothing could be cast.
    """
    model = load_model(source.path)
    kinds = {tensor.data_type for graph in all_graphs(model.graph) for tensor in graph.initializer if tensor.dims}
    if kinds & {TensorProto.FLOAT16, TensorProto.BFLOAT16} and TensorProto.FLOAT not in kinds:
        return source, []
    if TensorProto.DOUBLE in kinds and TensorProto.FLOAT not in kinds:
        raise ConversionFailed(
            "the model's weights are double precision, which the conversion to half leaves as they are",
            advice="Export the model in float32.",
        )
    if precision is Precision.BF16:
        source, model = _for_bfloat16(source, model, work)
    check_names(model, keep, "keep_float")
    unique_tensors(model)
    largest = {}
    if feeds:
        seen = extremes(model, source.folder, feeds[:_FEEDS], threads)
        largest = {name: one.magnitude for name, one in seen.items()}
    kept, cast_nodes = cast_model(
        model, source.folder, HALVES[precision], largest, keep=keep, keep_types=keep_types, keep_io=keep_io
    )
    if not cast_nodes:
        raise PrecisionNotKept(f"no node of the model can be computed in {precision}", nodes=kept[:20])
    path = work / str(precision) / "model.onnx"
    save_model(model, source.folder, path)
    signature = described(source.signature, model)
    if not keep_io:
        signature = _with_half(signature, HALVES[precision])
    return Source(path, signature), kept


def check_names(model: Any, names: Collection[str], option: str) -> None:
    """Raise InvalidOption for a name that no node of the model has."""
    unknown = sorted(set(names) - {node.name for node in all_nodes(model.graph)})
    if unknown:
        raise InvalidOption(
            f"the model has no node '{unknown[0]}'",
            advice="The layer report of an fp32 build lists the names of the source's nodes.",
            option=option,
            nodes=unknown[:20],
        )


def _for_bfloat16(source: Source, model: Any, work: Path) -> tuple[Source, Any]:
    """In the operator set that knows bfloat16 best; what cannot be lifted is cast as far as its own set goes."""
    try:
        source = lifted(source, _BF16_OPSET, work)
    except UnsupportedOperator as error:
        print(error.detail, flush=True)  # noqa: T201 - standard output is the build's log
        return source, model
    return source, load_model(source.path)


def _with_half(signature: Any, half: str) -> Any:
    def cast_specs(specs: Any) -> list[Any]:
        return [spec.model_copy(update={"dtype": half}) if spec.dtype == "float32" else spec for spec in specs]

    return signature.model_copy(
        update={"inputs": cast_specs(signature.inputs), "outputs": cast_specs(signature.outputs)}
    )
