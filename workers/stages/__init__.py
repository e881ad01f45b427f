"""Precision and compression as stages on the ONNX graph, one file each, for every backend that takes them.

A stage takes an ONNX file (external data beside it, of any size) and gives one in ``work``, with the same inputs,
outputs and node names. What it was told about and what it left alone it returns, for ``piece.notes``.

``cast.cast(source, precision, feeds, work, *, keep_io=True, keep=(), keep_types=(), threads=1) -> (Source, list[str])``
    FP16 or BF16. ``feeds``: inputs to look for large values with, or None. ``keep``, ``keep_types``: nodes by name
    and operator types that stay in float32. Returns the names of all nodes that stayed in float32 for accuracy.
    A model whose weights are half already comes back as it is. BF16 lifts the operator set to 22 (``opset.lifted``).
    Q/DQ nodes may be there already (quantize, then cast): from operator set 19 on their float side becomes half too.

``quantize.quantize(source, feeds, work, recipe) -> (Source, Quantized)``
    Q/DQ nodes with ranges from ``feeds`` (read lazily, one at a time). ``quantize.Recipe`` says how;
    ``Recipe.tensorrt(kind="int8" | "fp8", ...)`` is what TensorRT takes: symmetric with zero point 0, weights per
    channel as float with Q/DQ pairs, inputs of weighted operators only, biases in float. ``Quantized.nodes`` are the
    nodes that are quantised, ``Quantized.kept`` those that were left in float, ``Quantized.method`` goes into
    ``Calibration.method``, ``Quantized.ranges`` are the tensors' ranges. A model with Q/DQ nodes already comes back
    as it is, with ``Quantized.already`` set. Raises CalibrationFailed naming the tensor, PrecisionNotKept where nothing
    is quantised.

``prune.prune(source, pattern, share, work) -> (Source, report.Pruning)``
    '2:4' or 'magnitude'.

``opset.lifted(source, least, work) -> Source``
    The model in operator set ``least`` or newer. Raises UnsupportedOperator.

``embed.embedded("graph", "casting", ...) -> str``
    The text of stages for a ``reproduce.py``: they import numpy, onnx and onnxruntime only, and work on
    ``onnx.ModelProto`` (``casting.cast_model``, ``sparsity.prune_model``).
"""
