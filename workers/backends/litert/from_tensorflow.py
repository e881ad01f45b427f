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

_UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_MOST = 20


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
    operators, places = blamed(error)
    if not operators:
        return ConversionFailed(f"TensorFlow's converter: {first_line(error)}", nodes=places)
    return UnsupportedOperator(
        f"TensorFlow Lite has no kernel for {', '.join(operators)}" + (f" (node '{places[0]}')" if places else ""),
        advice="Export the model without the named operators, or choose another backend.",
        operators=operators,
        nodes=places,
    )


def blamed(error: Exception) -> tuple[list[str], list[str]]:
    """TensorFlow's operators that the converter has no rule for, and the names of these in the graph."""
    operators = sorted(set(_UNKNOWN.findall(str(error))))
    places = []
    for one in getattr(error, "errors", None) or []:
        names = [call.name.split("@")[0] for call in one.location.call]
        places += [name for name in names[:1] if name and name not in places]
    return operators, places[:_MOST]
