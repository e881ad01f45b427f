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
from workers.backends.base import Arrays, Setting
from workers.backends.litert import profiler
from workers.backends.litert.flatbuffer import Model, content, kind, operator, text, unpacked
from workers.backends.litert.kernels import Event, Timed, assigned
from workers.backends.litert.lineage import Lineage
from workers.backends.litert.run import LiteRtSession
from workers.backends.workpiece import Workpiece

_RUNS = 5
_LONGEST_S = 120


def layers(piece: Workpiece, path: Path, threads: int, feeds: Arrays) -> list[Layer]:
    """The layers in order; what only unpacks constants while loading is left out. ``time_us``: mean of a few runs."""
    model = unpacked(path.read_bytes())
    graph = model.subgraphs[0]
    fixed = {index for index, tensor in enumerate(graph.tensors) if content(model, tensor) is not None}
    running = [index for index, op in enumerate(graph.operators) if not set(op.inputs) <= fixed | {-1} or not fixed]
    events = _profiled(piece, path, threads, feeds)
    kinds = {index: operator(model, graph.operators[index]) for index in running}
    timed = assigned(kinds, events)
    return _table(model, running, timed, Lineage(piece))


def _table(model: Model, running: Sequence[int], timed: Timed, lineage: Lineage) -> list[Layer]:
    graph = model.subgraphs[0]
    found: list[Layer] = []
    done: list[str] = []
    last: list[tuple[int, str]] = []
    for index in running:
        op = graph.operators[index]
        tensor = graph.tensors[op.outputs[0]]
        name = text(tensor.name)
        fused = lineage.of(name)
        done += fused
        if op.outputs[0] in graph.outputs:
            last.append((len(found), name))
        found.append(
            Layer(
                name=name or f"{index}",
                type=operator(model, op),
                precision=timed.precision.get(index) or kind(tensor).lower(),
                fused=fused,
                time_us=timed.times.get(index),
            )
        )
    for place, name in last:  # an output bears the source's name, and with it no node's
        if not found[place].fused:
            found[place].fused = lineage.behind(name, done)
            done += found[place].fused
    found += [Layer(name=f"{tag} {i}", type=tag, time_us=us) for i, (tag, us) in enumerate(timed.others)]
    return found


def _profiled(piece: Workpiece, path: Path, threads: int, feeds: Arrays) -> list[list[Event]]:
    """The events of a few runs; none where LiteRT's profiler cannot be had."""
    session = LiteRtSession(path, Setting(threads), piece.options.xnnpack)
    arrays = session.arrays(feeds)
    file = piece.work / "profiled.npz"
    np.savez(file, **{str(index): array for index, array in enumerate(arrays)})
    flag = "1" if piece.options.xnnpack else "0"
    command = [sys.executable, profiler.__file__, str(path), str(file), str(threads), flag, str(_RUNS)]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _untimed(piece, str(error))
    finally:
        file.unlink()
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"]
        return _untimed(piece, lines[-1])
    runs: Any = json.loads(done.stdout)
    return [[Event(*one) for one in run] for run in runs]


def _untimed(piece: Workpiece, reason: str) -> list[list[Event]]:
    piece.notes.say(f"no times of single layers: LiteRT's profiler failed ({reason[:200]})")
    return []
