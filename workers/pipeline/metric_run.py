"""A job's own metric over the outputs of one side: written to files, and called in a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from enginehouse.errors import MetricFailed
from enginehouse.metric import Metric
from workers.backends.base import Array
from workers.pipeline import metric_child

SECONDS = 60
"""What one call may take."""
MEMORY_BYTES = 2 * 2**30
_GRACE_S = 10
_PLACE = re.compile(r'File "metric\.py", line (\d+)')


class Collected:
    """One side's outputs, sample by sample, on disk: a dataset may be larger than memory."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._places: dict[str, str] = {}
        self.samples = 0

    def add(self, outputs: Mapping[str, Array]) -> None:
        """The next sample's."""
        for name, array in outputs.items():
            place = self._places.setdefault(name, f"{len(self._places)}")
            (self._folder / place).mkdir(exist_ok=True)
            np.save(self._folder / place / f"{self.samples}.npy", array, allow_pickle=False)
        self.samples += 1

    def value(self, metric: Metric, labels: Array | None, seconds: int = SECONDS) -> float:
        """What the metric makes of them; the files are gone afterwards. Raises MetricFailed, which names the line."""
        told = {
            "code": metric.code,
            "samples": self.samples,
            "outputs": self._places,
            "labelled": labels is not None,
        }
        (self._folder / "told.json").write_text(json.dumps(told))
        if labels is not None:
            np.save(self._folder / "labels.npy", labels[: self.samples], allow_pickle=False)
        try:
            return _called(metric.name, self._folder, seconds)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _called(name: str, folder: Path, seconds: int) -> float:
    script = metric_child.__file__
    command = [sys.executable, "-I", script, str(folder), str(seconds), str(MEMORY_BYTES)]
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds + _GRACE_S,
            env=environment,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(name, f"it did not end within {seconds} s", None) from None
    told = done.stderr.decode(errors="replace")
    if done.returncode == 0 and done.stdout:
        answer = json.loads(done.stdout)
        if "value" in answer:
            return float(answer["value"])
        raise _failed(name, answer["error"], answer["line"])
    place = _PLACE.search(told)  # faulthandler tells the innermost call first
    late = "Timeout (" in told
    reason = f"it did not end within {seconds} s" if late else f"its process died (status {done.returncode})"
    raise _failed(name, reason, int(place[1]) if place else None)


def _failed(name: str, reason: str, line: int | None) -> MetricFailed:
    where = "" if line is None else f", line {line}"
    return MetricFailed(f"the metric '{name}'{where}: {reason}", metric=name, line=line)
