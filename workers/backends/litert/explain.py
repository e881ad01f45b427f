"""The executed layers: the interpreter's operators, the source nodes in each, and times from LiteRT's profiler."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.report import Layer
from workers.backends.base import Array, Arrays, Setting
from workers.backends.litert import profiler
from workers.backends.litert.flatbuffer import Model, content, kind, operator, packed, text, unpacked
from workers.backends.litert.kernels import Event, Timed, assigned
from workers.backends.litert.lineage import Lineage
from workers.backends.litert.run import LiteRtSession
from workers.backends.litert.shapes import settle
from workers.backends.workpiece import Workpiece

_RUNS = 5
_CONTROL = ("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE")
_LONGEST_S = 120


def layers(piece: Workpiece, path: Path, threads: int, feeds: Arrays) -> list[Layer]:
    """The layers in order; what only unpacks constants while loading is left out. ``time_us``: mean of a few runs.

    A branch that is taken, or a loop's body, is listed behind the operator that it belongs to.
    """
    model = unpacked(path.read_bytes())
    runs = _profiled(piece, path, threads, feeds)
    entered = {event.graph for run in runs for event in run}
    lineage = Lineage(piece)
    found: list[Layer] = []
    for number, graph in enumerate(model.subgraphs):
        if number and number not in entered:
            continue
        running = _running(model, graph)
        kinds = {index: operator(model, graph.operators[index]) for index in running}
        timed = assigned(kinds, [[event for event in run if event.graph == number] for run in runs])
        found += _table(model, graph, running, timed, lineage)
    if len(entered) > 1:  # their time is that of the layers inside
        for layer in found:
            layer.time_us = None if layer.type in _CONTROL else layer.time_us
    _outputs(model, found, lineage)
    return found


def _running(model: Model, graph: Any) -> list[int]:
    """The operators that have something to do while the model runs."""
    fixed = {index for index, tensor in enumerate(graph.tensors) if content(model, tensor) is not None} | {-1}
    return [index for index, op in enumerate(graph.operators) if not len(op.inputs) or not set(op.inputs) <= fixed]


def _table(model: Model, graph: Any, running: Sequence[int], timed: Timed, lineage: Lineage) -> list[Layer]:
    found = []
    for index in running:
        op = graph.operators[index]
        tensor = graph.tensors[op.outputs[0]]
        name = text(tensor.name)
        found.append(
            Layer(
                name=name or f"{index}",
                type=operator(model, op),
                precision=timed.precision.get(index) or kind(tensor).lower(),
                fused=lineage.of(name),
                time_us=timed.times.get(index),
            )
        )
    return found + [Layer(name=f"{tag} {i}", type=tag, time_us=us) for i, (tag, us) in enumerate(timed.others)]


def _outputs(model: Model, layers: Sequence[Layer], lineage: Lineage) -> None:
    """A layer that makes an output bears the source's name for it, and with it no node's: these are traced back."""
    graph = model.subgraphs[0]
    done = [node for layer in layers for node in layer.fused]
    names = {text(graph.tensors[index].name) for index in graph.outputs}
    for layer in layers:
        if layer.name in names and not layer.fused:
            layer.fused = lineage.behind(layer.name, done)
            done += layer.fused


def _profiled(piece: Workpiece, path: Path, threads: int, feeds: Arrays) -> list[list[Event]]:
    """The events of a few runs; none where LiteRT's profiler cannot be had."""
    session = LiteRtSession(path, Setting(threads), piece.options.xnnpack)
    arrays = session.arrays(feeds)
    results = session.run(feeds)
    file, still = piece.work / "profiled.npz", piece.work / "profiled.tflite"
    np.savez(file, **{str(index): array for index, array in enumerate(arrays)})
    still.write_bytes(_still(path, arrays, list(results.values())))
    flag = "1" if piece.options.xnnpack else "0"
    command = [sys.executable, profiler.__file__, str(still), str(file), str(threads), flag, str(_RUNS)]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _untimed(piece, str(error))
    finally:
        file.unlink()
        still.unlink()
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        return _untimed(piece, lines[-1])
    runs: Any = json.loads(done.stdout)
    return [[Event(*one) for one in run] for run in runs]


def _still(path: Path, arrays: Sequence[Array], results: Sequence[Array]) -> bytes:
    """The file with the sizes of one run written into it: the profiled interface has no open dimensions."""
    model = unpacked(path.read_bytes())
    graph = model.subgraphs[0]
    settle(graph, graph.inputs, [array.shape for array in arrays])
    settle(graph, graph.outputs, [array.shape for array in results])
    return packed(model)


def _untimed(piece: Workpiece, reason: str) -> list[list[Event]]:
    piece.notes.say(f"no times of single layers: LiteRT's profiler failed ({reason[:200]})")
    return []
