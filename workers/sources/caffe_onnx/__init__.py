"""A Caffe network as an ONNX graph: one rule for each type of layer, in the file of its kind."""

from __future__ import annotations

from workers.sources.caffe_onnx.convert import OPSET, convert

__all__ = ["OPSET", "convert"]
