"""Precision and compression as stages on the ONNX graph, one file each, for every backend that takes them.

cast (FP16, BF16), quantize (Q/DQ from calibration), prune (2:4, magnitude). A stage takes a file and gives a file.
"""
