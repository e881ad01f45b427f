"""Branches and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value

_MOST_UNROLLED = 128


@operator("If")
def _if(node: Node) -> list[Value]:
    condition = node.first()
    if isinstance(condition, np.ndarray):
        chosen = node.graphs["then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"]
        made: list[Value] = chosen.run([])
        return made

    def branch(name: str) -> Any:
        return lambda: [tf.convert_to_tensor(one.first()) for one in node.graphs[name].run([])]

    found = tf.cond(tf.reshape(condition, []), branch("then_branch"), branch("else_branch"))
    return [Value(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


@operator("Loop")
def _loop(node: Node) -> list[Value]:
    body = node.graphs["body"]
    carried = node.inputs[2:]
    if any(value is None for value in carried):
        raise Unsupported("a state without a first value")
    state = [value for value in carried if value is not None]
    scans = len(node.outputs) - len(state)
    limit = node.value(0) if node.has(0) else None
    going = node.value(1) if node.has(1) else None
    turns = int(limit.first().reshape(())) if limit is not None and limit.constant else None
    always = going is None or (going.constant and bool(going.first().reshape(())))
    if turns is not None and turns <= _MOST_UNROLLED and always:
        return _unrolled(body, state, turns, scans)
    if scans:
        raise Unsupported(f"outputs that grow in a loop of more than {_MOST_UNROLLED} or an unknown number of turns")
    return _while(body, state, limit, going)


def _unrolled(body: Any, state: list[Value], turns: int, scans: int) -> list[Value]:
    grown: list[list[Any]] = [[] for _ in range(scans)]
    for turn in range(turns):
        made = body.run([Value(np.asarray(turn, np.int64)), Value(np.asarray(True)), *state])
        if not (made[0].constant and bool(made[0].first().reshape(()))):
            raise Unsupported("a loop that may end before its last turn")
        state = made[1 : len(state) + 1]
        for one, value in zip(grown, made[len(state) + 1 :], strict=True):
            one.append(tf.convert_to_tensor(value.first()))
    if scans and not turns:
        raise Unsupported("no turns")
    return [*state, *[Value(tf.stack(one)) for one in grown]]


def _while(body: Any, state: list[Value], limit: Value | None, going: Value | None) -> list[Value]:
    first = [tf.convert_to_tensor(value.first()) for value in state]
    most = tf.cast(tf.reshape(limit.first(), []), tf.int64) if limit is not None else None
    start = tf.reshape(tf.convert_to_tensor(going.first()), []) if going is not None else tf.constant(True)

    def more(turn: Any, go: Any, *_: Any) -> Any:
        return go if most is None else tf.logical_and(go, turn < most)

    def turned(turn: Any, go: Any, *values: Any) -> Any:
        made = body.run([Value(turn), Value(go), *[Value(one) for one in values]])
        tensors = [tf.convert_to_tensor(one.first()) for one in made]
        return [turn + 1, tf.reshape(tensors[0], []), *tensors[1:]]

    found = tf.while_loop(more, turned, [tf.constant(0, tf.int64), start, *first])
    return [Value(one) for one in found[2:]]


@operator("Scan")
def _scan(node: Node) -> list[Value]:
    body, many = node.graphs["body"], node.attribute("num_scan_inputs")
    values = node.values()
    if node.version < 9:
        raise Unsupported("operator sets before 9")
    state, scanned = values[:-many], [tf.convert_to_tensor(value.first()) for value in values[-many:]]
    axes = node.attribute("scan_input_axes") or [0] * many
    backwards = node.attribute("scan_input_directions") or [0] * many
    outputs = len(node.outputs) - len(state)
    turns = scanned[0].shape[axes[0]]
    if turns is None or not 0 < turns <= _MOST_UNROLLED:
        raise Unsupported(f"more than {_MOST_UNROLLED} turns, or a number that is not known")
    parts = [tf.unstack(one, turns, axis) for one, axis in zip(scanned, axes, strict=True)]
    parts = [list(reversed(one)) if back else one for one, back in zip(parts, backwards, strict=True)]
    grown: list[list[Any]] = [[] for _ in range(outputs)]
    for turn in range(turns):
        made = body.run([*state, *[Value(one[turn]) for one in parts]])
        state = made[: len(state)]
        for one, value in zip(grown, made[len(state) :], strict=True):
            one.append(tf.convert_to_tensor(value.first()))
    ends = node.attribute("scan_output_axes") or [0] * outputs
    turned = node.attribute("scan_output_directions") or [0] * outputs
    stacked = [
        tf.stack(list(reversed(one)) if back else one, axis)
        for one, axis, back in zip(grown, ends, turned, strict=True)
    ]
    return [*state, *[Value(one) for one in stacked]]
