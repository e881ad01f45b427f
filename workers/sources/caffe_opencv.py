"""The reference for Caffe: OpenCV's dnn module, which reads the same two files and runs them in FP32 on the CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from enginehouse.errors import ReferenceFailed
from protos.caffe import CaffeError, Layer, Net, beginning, infer, read_net
from workers.backends.base import Array, Arrays, Session, Setting, as_fed, first_line
from workers.sources import caffe_numpy
from workers.sources.caffe_text import Plan, plan

TEXT = "inference.prototxt"

_SEARCH_S = 10.0
_CLASSES: list[type] = []
"""Classes of layers that OpenCV was given: it keeps their addresses and does not count itself as a user of them."""


@dataclass(frozen=True)
class _Files:
    """What a network is read from, and where a text for it may be written."""

    prototxt: Path
    weights: Path
    work: Path

    def load(self, net: Net, *, rewrite: bool = False) -> tuple[Plan, Any]:
        """How OpenCV runs the network, and OpenCV's own form of it. Raises cv2.error, ReferenceFailed."""
        made, path = plan(net, rewrite=rewrite), self.prototxt
        if made.text is not None:
            path = self.work / TEXT
            path.write_text(made.text, encoding="utf-8")
        for name, layer in made.numpy.items():
            _CLASSES.append(caffe_numpy.layer_class(layer))
            cv2.dnn_registerLayer(name, _CLASSES[-1])
        opencv = cv2.dnn.readNetFromCaffe(str(path), str(self.weights))
        opencv.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        opencv.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        opencv.enableWinograd(False)  # it trades accuracy for speed
        return made, opencv


class OpenCvSession(Session):
    """The network under OpenCV, which gets the network's text for inference where the file's would mislead it."""

    def __init__(self, prototxt: Path, weights: Path, setting: Setting, work: Path) -> None:
        try:
            self._net = read_net(prototxt.read_bytes())
        except CaffeError as error:
            raise ReferenceFailed(f"the reference cannot read the .prototxt: {error}") from error
        self._files = _Files(prototxt, weights, work)
        try:
            self._plan, self._opencv = self._files.load(self._net)
        except cv2.error:
            # Fields that OpenCV does not know stop it, in layers too that need none of them.
            try:
                self._plan, self._opencv = self._files.load(self._net, rewrite=True)
            except cv2.error as error:
                raise _named(error) from error
        cv2.setNumThreads(setting.threads)

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference."""
        makers = self._plan.makers
        try:
            found = _forward(self._opencv, self._net, makers, feeds)
        except cv2.error as error:
            raise _named(error, self._culprit(feeds)) from error
        shapes = infer(self._net, {name: feeds[name].shape for name in self._net.inputs})
        outputs = {}
        for (value, (_, index)), blobs in zip(makers.items(), found, strict=True):
            array = np.array(blobs[index])  # a copy: OpenCV uses its memory again
            shape = shapes.get(value, array.shape)
            if array.size != math.prod(shape):
                raise ReferenceFailed(
                    f"OpenCV, the reference for Caffe, makes '{value}' of the shape {list(array.shape)}, "
                    f"Caffe {list(shape)}",
                    advice="Submit the network as ONNX, or leave this output out.",
                    outputs=[value],
                )
            outputs[value] = array.reshape(shape)  # OpenCV has no arrays of rank 0 and 1
        return outputs

    def _culprit(self, feeds: Arrays) -> Layer | None:
        """The layer up to which the network does not run, while it does without it; None where that takes too long."""
        until = time.monotonic() + _SEARCH_S
        runs, fails = 0, len(self._net.layers)
        while fails - runs > 1:
            if time.monotonic() > until:
                return None
            count = (runs + fails) // 2
            part = beginning(self._net, count)
            try:
                made, opencv = self._files.load(part, rewrite=True)
                _forward(opencv, part, made.makers, feeds)
            except (cv2.error, ReferenceFailed):
                fails = count
            else:
                runs = count
        return self._net.layers[fails - 1]

    def settings(self) -> dict[str, Any]:
        """Read back from OpenCV, where it tells them."""
        layers = sorted({layer.type for layer in self._plan.numpy.values()})
        return {
            "backend": "OpenCV",
            "target": "CPU",
            "winograd": False,
            "threads": cv2.getNumThreads(),
            **({"layers_in_numpy": ",".join(layers)} if layers else {}),
        }


def _forward(opencv: Any, net: Net, makers: Mapping[str, tuple[str, int]], feeds: Arrays) -> Any:
    """The tops of each layer that makes an output."""
    for name in net.inputs:
        opencv.setInput(np.asarray(as_fed(feeds[name]), np.float32), name)
    return opencv.forwardAndRetrieve([layer for layer, _ in makers.values()])


def _named(error: Exception, layer: Layer | None = None) -> ReferenceFailed:
    """OpenCV's exception, with the layer where it is known."""
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())[:600] or first_line(error)
    where = {"operators": [layer.type], "nodes": [layer.name]} if layer else {}
    at = f" at {layer.where}" if layer else ""
    return ReferenceFailed(
        f"OpenCV, the reference for Caffe, does not run the network{at}: {text}",
        advice="Take the named layer out, or submit the network as ONNX.",
        **where,
    )
