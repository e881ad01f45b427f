"""ONNX to .tflite: the graph becomes a TensorFlow function, which TensorFlow's own converter takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from workers.backends.base import first_line
from workers.backends.litert import lineage
from workers.backends.litert.from_tensorflow import blamed
from workers.backends.workpiece import Source
from workers.sources.tf_runtime import tensorflow

_MOST_BYTES = 1_900_000_000
"""A flatbuffer, and the graph that it is made from, ends at 2 GiB."""

_SCOPE = re.compile(r"^n(\d+)_")


def convert(
    source: Source, shapes: Mapping[str, Sequence[int | None]], work: Path
) -> tuple[bytes, list[str], list[str]]:
    """The file, and its signature's names for the source's inputs and outputs, in their order.

    ``shapes``: every input's sizes; None for one that stays open. What becomes of the nodes is noted in ``work``.
    Raises UnsupportedOperator, ConversionFailed.
    """
    model = loaded(source)
    tf = tensorflow()
    from workers.backends.litert.importer import INPUT, OUTPUT, function, prepared

    whole, nodes = prepared(model)
    makers = {output: node.name for node in model.graph.node for output in node.output if output}
    lineage.write(work, nodes, makers, {node.name: list(node.input) for node in model.graph.node})
    made, module = function(whole, shapes)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([made], module)
    try:
        data: bytes = converter.convert()
    except Exception as error:
        raise named(error, nodes) from error
    count = (len(source.signature.inputs), len(source.signature.outputs))
    return data, [INPUT.format(i) for i in range(count[0])], [OUTPUT.format(i) for i in range(count[1])]


def loaded(source: Source) -> Any:
    """The onnx.ModelProto with its weights, its nodes named, its local functions inlined."""
    from onnx.external_data_helper import load_external_data_for_model

    from workers.stages.graph import load_model

    model = load_model(source.path)
    load_external_data_for_model(model, str(source.folder))
    if model.ByteSize() > _MOST_BYTES:
        raise ConversionFailed("the weights exceed 2 GB, which is the end of a TensorFlow Lite file")
    return model


def named(error: Exception, names: Sequence[Sequence[str]]) -> BuildError:
    """The converter's error with the operators that it has no rule for, and the nodes that they come from."""
    operators, places = blamed(error)
    numbers = sorted({int(number) for place in places for number in _SCOPE.findall(place)})
    nodes = [name for number in numbers if number < len(names) for name in names[number]]
    if not operators:
        return ConversionFailed(f"TensorFlow's converter: {first_line(error)}", nodes=nodes)
    return UnsupportedOperator(
        f"TensorFlow Lite has no kernel for {', '.join(operators)}" + (f" (node '{nodes[0]}')" if nodes else ""),
        operators=operators,
        nodes=nodes,
    )
