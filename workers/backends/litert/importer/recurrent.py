"""Recurrent layers, step by step: unrolled where the sequence is short, else in a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value
from workers.backends.litert.importer.weights import weight

_MOST_UNROLLED = 32
_Step = Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
    "hardsigmoid": lambda x: tf.minimum(tf.nn.relu(0.2 * x + 0.5), 1.0),
    "softsign": lambda x: x / (1.0 + tf.abs(x)),
}
_USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@operator("RNN", "GRU", "LSTM")
def _recurrent(node: Node) -> list[Value]:
    if node.has(4) and not _whole(node):
        raise Unsupported("sequences of different lengths")
    if node.has(7) or node.attribute("clip") is not None or node.attribute("input_forget", 0):
        raise Unsupported("peepholes, clipping, or coupled gates")
    x = tf.convert_to_tensor(node.first())
    x = tf.transpose(x, [1, 0, 2]) if node.attribute("layout", 0) else x
    direction = node.attribute("direction", "forward")
    ways = 2 if direction == "bidirectional" else 1
    names = node.attribute("activations") or _USUAL[node.type] * ways
    sequences, states = [], []
    for way in range(ways):
        some = names[way * len(_USUAL[node.type]) : (way + 1) * len(_USUAL[node.type])]
        step, state = _cell(node, x, way, [_activation(name) for name in some])
        back = direction == "reverse" or way == 1
        sequence, state = _walked(tf.reverse(x, [0]) if back else x, step, state)
        sequences.append(tf.reverse(sequence, [0]) if back else sequence)
        states.append(state)
    whole = tf.stack(sequences, 1)
    ends = [tf.stack(parts, 0) for parts in zip(*states, strict=True)]
    if node.attribute("layout", 0):
        whole = tf.transpose(whole, [2, 0, 1, 3])
        ends = [tf.transpose(one, [1, 0, 2]) for one in ends]
    return [Value(one) for one in (whole, *ends)]


def _whole(node: Node) -> bool:
    """Whether all sequences are as long as the input."""
    time = node.value().shape[1 if node.attribute("layout", 0) else 0]
    return node.value(4).constant and bool((node.first(4) == time).all())


def _activation(name: str) -> Callable[[Any], Any]:
    if name.lower() not in _ACTIVATIONS:
        raise Unsupported(f"activation '{name}'")
    return _ACTIVATIONS[name.lower()]


def _cell(node: Node, x: Any, way: int, functions: list[Callable[[Any], Any]]) -> tuple[_Step, tuple[Any, ...]]:
    """What makes a step, and the first state. Weights: [ways, gates · hidden, …], gates in ONNX's order."""
    hidden = node.attribute("hidden_size") or node.value(2).shape[2]
    gates = _GATES[node.type]
    inward, recurrent = (tf.transpose(weight(node.first(index))[way]) for index in (1, 2))
    both = tf.convert_to_tensor(node.first(3))[way] if node.has(3) else tf.zeros([2 * gates * hidden], x.dtype)
    bias, other = both[: gates * hidden], both[gates * hidden :]

    def first(index: int) -> Any:
        if not node.has(index):
            return tf.zeros([x.shape[1] if x.shape[1] is not None else tf.shape(x)[1], hidden], x.dtype)
        start = tf.convert_to_tensor(node.first(index))
        return start[:, way] if node.attribute("layout", 0) else start[way]

    def rnn(part: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return (functions[0](part @ inward + state[0] @ recurrent + bias + other),)

    def lstm(part: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        h, c = state
        i, o, f, new = tf.split(part @ inward + h @ recurrent + (bias + other), 4, -1)
        c = functions[0](f) * c + functions[0](i) * functions[1](new)
        return functions[0](o) * functions[2](c), c

    def gru(part: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        (h,) = state
        z, r, new = tf.split(part @ inward + bias, 3, -1)
        if node.attribute("linear_before_reset", 0):
            rz, rr, rnew = tf.split(h @ recurrent + other, 3, -1)
            z, r = functions[0](z + rz), functions[0](r + rr)
            new = functions[1](new + r * rnew)
        else:
            gated = h @ recurrent[:, : 2 * hidden] + other[: 2 * hidden]
            z, r = functions[0](z + gated[:, :hidden]), functions[0](r + gated[:, hidden:])
            new = functions[1](new + (r * h) @ recurrent[:, 2 * hidden :] + other[2 * hidden :])
        return ((1.0 - z) * new + z * h,)

    step: _Step = {"RNN": rnn, "GRU": gru, "LSTM": lstm}[node.type]
    return step, ((first(5), first(6)) if node.type == "LSTM" else (first(5),))


def _walked(x: Any, step: _Step, state: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """All steps' first states stacked, and the last state. ``x``: [time, batch, …]."""
    time = x.shape[0]
    if time is not None and time <= _MOST_UNROLLED:
        found = []
        for part in tf.unstack(x, time):
            state = step(part, state)
            found.append(state[0])
        return tf.stack(found), state
    turns = tf.shape(x)[0] if time is None else time
    batch, hidden = state[0].shape
    if batch is None:
        raise Unsupported("a long sequence with a batch of a size that is not known")
    kept = tf.TensorArray(x.dtype, turns, element_shape=[batch, hidden])

    def turned(turn: Any, kept: Any, *state: Any) -> Any:
        state = step(tf.gather(x, turn), state)
        return [turn + 1, kept.write(turn, state[0]), *state]

    _, kept, *state_ = tf.while_loop(lambda turn, *_: turn < turns, turned, [tf.constant(0), kept, *state])
    whole = kept.stack()
    return tf.ensure_shape(whole, [time, batch, hidden]), tuple(state_)
