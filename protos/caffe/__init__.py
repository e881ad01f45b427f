"""Caffe's files: a network's text (.prototxt) and its weights (.caffemodel), read without Caffe.

``read_net`` gives the network for inference, ``infer`` the shapes in it, ``read_weights`` the blobs and
``check_weights`` those of each layer. Everything raises ``CaffeError``.
"""

from __future__ import annotations

from protos.caffe.blobs import check_weights, wanted_blobs
from protos.caffe.errors import CaffeError, UnknownLayer
from protos.caffe.messages import MESSAGES
from protos.caffe.net import Layer, Net, Shape, beginning, read_net
from protos.caffe.shapes import infer
from protos.caffe.weights import Blob, Weights, read_weights, weights_beside

__all__ = [
    "MESSAGES",
    "Blob",
    "CaffeError",
    "Layer",
    "Net",
    "Shape",
    "UnknownLayer",
    "Weights",
    "beginning",
    "check_weights",
    "infer",
    "read_net",
    "read_weights",
    "wanted_blobs",
    "weights_beside",
]
