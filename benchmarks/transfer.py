"""(c) 1 GiB up and down against a plain copy with SHA-256, and what the API's memory does meanwhile."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper

from benchmarks.figures import Figure
from enginehouse.client import Client

MIB = 1024**2
SIZE = 1024 * MIB
TURNS = 3


class Peak:
    """The largest resident memory of a process and its children, sampled."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.idle = self._now()
        self.most = self.idle
        self._stop = threading.Event()

    def _now(self) -> int:
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._now())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample while the block runs."""
        self._stop.clear()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    @property
    def over_idle_mb(self) -> float:
        """MB above what it had when the watch was made."""
        return (self.most - self.idle) / 1e6


def big_model(folder: Path) -> Path:
    """A valid model whose external data is 1 GiB of fresh random bytes."""
    folder.mkdir()
    rows = SIZE // 4 // 1024
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1024, rows], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights.bin", "offset": "0", "length": str(SIZE)}.items():
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "big",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1024])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, rows])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, folder / "model.onnx")
    block = np.frombuffer(secrets.token_bytes(16 * MIB), np.uint8).copy()
    with (folder / "weights.bin").open("wb") as file:
        for number in range(SIZE // len(block)):
            block[:8] = np.frombuffer(number.to_bytes(8, "little"), np.uint8)
            file.write(block.tobytes())
    return folder / "model.onnx"


def copy_with_sha256(source: Path, to: Path) -> float:
    """Seconds of a plain copy that hashes what it reads and forces it to the disk."""
    begin = time.perf_counter()
    digest = hashlib.sha256()
    with source.open("rb") as read, to.open("wb") as write:
        while chunk := read.read(MIB):
            digest.update(chunk)
            write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    return time.perf_counter() - begin


def gibibyte(farm: Client, folder: Path, api_pid: int) -> list[Figure]:
    """Push a model with 1 GiB of weights, download them again, and copy the same file in between."""
    up, down, copied = [], [], []
    peak = Peak(api_pid)
    for turn in range(TURNS):
        path = big_model(folder / f"big-{turn}")
        with peak.watched():
            begin = time.perf_counter()
            model = farm.models.push(path, files=[path.with_name("weights.bin")])
            up.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            farm.models.download(model.id, folder / f"back-{turn}")
            down.append(time.perf_counter() - begin)
        copied.append(copy_with_sha256(path.with_name("weights.bin"), folder / "copy"))
        for file in [path.with_name("weights.bin"), folder / "copy", *(folder / f"back-{turn}").iterdir()]:
            file.unlink()
    memory = {"API's peak memory over idle": f"{peak.over_idle_mb:.0f} MB (aim: under 100 MB)"}
    return [
        Figure("(c) upload of 1 GiB", up, copied, "s", "copy with SHA-256", notes=memory),
        Figure("(c) download of 1 GiB", down, copied, "s", "copy with SHA-256"),
    ]
