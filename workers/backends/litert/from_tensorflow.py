"""SavedModel to .tflite by TensorFlow's own converter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from workers.backends.base import first_line
from workers.backends.litert.shapes import Open, open_shapes
from workers.backends.workpiece import Source
from workers.sources.tf_runtime import tags_and_key, tensorflow

_FLEX = re.compile(r"'tf\.(\w+)' op is (?:neither a custom op nor a flex op|not supported)")
_NODE = re.compile(r'loc\((?:fused\[)?"?([\w./:-]+)')


def convert(source: Source, folder: Path, shapes: Open) -> tuple[bytes, list[str], list[str]]:
    """The served signature: the file, and its names for the source's inputs and outputs.

    ``shapes``: the source's own, or fixed ones. Raises UnsupportedOperator, ConversionFailed.
    """
    tf = tensorflow()
    tags, key = tags_and_key(folder)
    names = [spec.name for spec in source.signature.inputs], [spec.name for spec in source.signature.outputs]
    if shapes == open_shapes(source.signature.inputs):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[key], tags=set(tags))
        return converted(converter), *names
    loaded = tf.saved_model.load(str(folder), tags=tags)
    served = loaded.signatures[key]
    specs = {
        spec.name: tf.TensorSpec(shapes[spec.name], spec.dtype, f"input_{index}")
        for index, spec in enumerate(source.signature.inputs)
    }

    def call(*tensors: Any) -> dict[str, Any]:
        found = served(**dict(zip(specs, tensors, strict=True)))
        return {f"output_{index}": tf.identity(found[name]) for index, name in enumerate(names[1])}

    made = tf.function(call, input_signature=list(specs.values()), autograph=False).get_concrete_function()
    data = converted(tf.lite.TFLiteConverter.from_concrete_functions([made], loaded))
    return data, [f"input_{i}" for i in range(len(names[0]))], [f"output_{i}" for i in range(len(names[1]))]


def converted(converter: Any) -> bytes:
    """Run TensorFlow's converter with the built-in operators only: the interpreter has no others."""
    try:
        return bytes(converter.convert())
    except Exception as error:
        raise named(error) from error


def named(error: Exception) -> BuildError:
    """The converter's error with the operators that TensorFlow Lite does not have."""
    text = str(error)
    operators = sorted(set(_FLEX.findall(text)))
    if not operators:
        return ConversionFailed(f"TensorFlow's converter: {first_line(error)}")
    nodes = sorted({name for name in _NODE.findall(text) if "/" in name or "_" in name})
    return UnsupportedOperator(
        f"TensorFlow Lite has no operator for {', '.join(operators)}",
        advice="Export the model without the named operators, or choose another backend.",
        operators=operators,
        nodes=nodes[:20],
    )
