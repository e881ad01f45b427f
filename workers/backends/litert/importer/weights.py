"""Large weights as variables: TensorFlow's converter copies a variable twice, and a constant ten times."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np
import tensorflow as tf

_LARGE_BYTES = 256 * 1024


class Weights:
    """The variables of one function. It is traced twice, and may make variables only the first time."""

    def __init__(self) -> None:
        self.module = tf.Module()
        self.module.weights = []
        self._next = 0
        self._graph: Any = None

    def begin(self) -> None:
        """A trace begins: the same weights will be asked for in the same order."""
        self._next = 0
        self._graph = tf.compat.v1.get_default_graph()
        _current.set(self)

    def end(self) -> None:
        """The traces are over."""
        _current.set(None)

    @property
    def here(self) -> bool:
        """Whether the function itself is being traced, and no branch or loop inside it."""
        return tf.compat.v1.get_default_graph() is self._graph

    def read(self, data: np.ndarray[Any, Any]) -> Any:
        """The next variable's value."""
        if self._next == len(self.module.weights):
            with tf.init_scope():
                self.module.weights.append(tf.Variable(data, trainable=False))
        self._next += 1
        return self.module.weights[self._next - 1].read_value()


_current: ContextVar[Weights | None] = ContextVar("_current", default=None)


def weight(data: Any) -> Any:
    """A tensor of a weight; anything that is no large array comes back as a tensor as it is."""
    held = _current.get()
    large = isinstance(data, np.ndarray) and data.nbytes >= _LARGE_BYTES
    if held is None or not large or not held.here:
        return tf.convert_to_tensor(data)
    return held.read(data)
