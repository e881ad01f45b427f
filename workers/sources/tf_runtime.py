"""TensorFlow, imported once, quiet and without a GPU; and a SavedModel in a session that has its threads to itself."""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.errors import ReferenceFailed
from enginehouse.shapes import check_shape
from enginehouse.signature import ModelSignature
from protos.saved_model import FILE, SavedModel, served
from workers.backends.base import Array, Arrays, Session, Setting, as_fed, first_line

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # A thread pool for each session: the process-wide one would keep the number of whoever came first.
    "TF_OVERRIDE_GLOBAL_THREADPOOL": "1",
    # What every user of TensorFlow on a CPU gets, and a fifth to a third faster than without: the reference is also
    # the benchmark's baseline. Its rounding (1e-6) is far below any tolerance.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "KERAS_BACKEND": "tensorflow",
}
_UNKNOWN_OPERATOR = re.compile(r"Op type not registered '(\w+)'")


def tensorflow() -> Any:
    """The module. Raises ImportError."""
    for name, value in _ENVIRONMENT.items():  # a build's child has lost what its warm parent set
        os.environ.setdefault(name, value)
    return _imported()


@cache
def _imported() -> Any:
    # The first lines come before its own logging has begun, and heed no level.
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as module
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with suppress(RuntimeError):  # whoever started it before us decided
        module.config.set_visible_devices([], "GPU")
    return module


def tags_and_key(folder: Path) -> tuple[list[str], str]:
    """Which graph of a SavedModel is served, by its tags, and by which signature. The same choice as inspection's."""
    meta, key = served(SavedModel.FromString((folder / FILE).read_bytes()))
    return list(meta.meta_info.tags), key


class GraphSession(Session):
    """A SavedModel's served signature, run the way TensorFlow Serving does. Raises ReferenceFailed."""

    def __init__(self, folder: Path, signature: ModelSignature, setting: Setting) -> None:
        tf = tensorflow()
        tags, key = tags_and_key(folder)
        self._specs = signature.inputs
        self._outputs = [spec.name for spec in signature.outputs]
        self._config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=setting.threads,
            inter_op_parallelism_threads=1,
            use_per_session_threads=True,
            device_count={"GPU": 0},
        )
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=self._config)
        try:
            with graph.as_default():
                loaded = tf.compat.v1.saved_model.loader.load(self._session, tags, str(folder)).signature_def[key]
        except Exception as error:
            raise _named(error) from error
        self._call = self._session.make_callable(
            [loaded.outputs[name].name for name in self._outputs],
            feed_list=[loaded.inputs[spec.name].name for spec in self._specs],
        )

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference. Raises InvalidShapes, and what TensorFlow raises."""
        for spec in self._specs:
            check_shape(spec, feeds[spec.name].shape, "input")
        found = self._call(*(as_fed(feeds[spec.name]) for spec in self._specs))
        return {name: np.asarray(array) for name, array in zip(self._outputs, found, strict=True)}

    def settings(self) -> dict[str, Any]:
        """What the session was made with."""
        return {
            "intra_op_parallelism_threads": self._config.intra_op_parallelism_threads,
            "inter_op_parallelism_threads": self._config.inter_op_parallelism_threads,
            "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0",
        }


def _named(error: Exception) -> ReferenceFailed:
    """The error with the operator that this TensorFlow does not have."""
    unknown = _UNKNOWN_OPERATOR.search(str(error))
    if unknown is None:
        return ReferenceFailed(f"TensorFlow cannot load the source model: {first_line(error)}")
    return ReferenceFailed(
        f"TensorFlow has no operator {unknown[1]}: it comes from a library of custom operators",
        advice="Export the model with TensorFlow's own operators only.",
        operators=[unknown[1]],
    )


def runtime() -> str:
    """What runs a SavedModel, for the report."""
    return f"tensorflow {tensorflow().__version__} fp32 cpu"
