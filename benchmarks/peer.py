"""The vendor's own command line, with its telemetry turned off: it stalls for seconds where there is no network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


class Ovc:
    """``ovc MODEL`` in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.command = Path(sys.executable).with_name("ovc")
        self.out = folder / "ovc"
        self.out.mkdir()
        self.environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": ""}
        opt = Path(sys.executable).with_name("opt_in_out")
        subprocess.run([opt, "--opt_out"], env=self.environment, check=True, capture_output=True)

    def convert(self, model: Path) -> float:
        """Convert one model; seconds of the whole process."""
        begin = time.perf_counter()
        self._run([self.command, model, "--output_model", self.out / "model.xml"])
        return time.perf_counter() - begin

    def convert_all(self, models: list[Path]) -> float:
        """Convert the models one after another in a shell loop; seconds of all of it."""
        loop = 'out=$1; ovc=$2; shift 2; for m in "$@"; do "$ovc" "$m" --output_model "$out/model.xml" || exit 1; done'
        begin = time.perf_counter()
        self._run(["sh", "-c", loop, "sh", self.out, self.command, *models])
        return time.perf_counter() - begin

    def _run(self, command: list[str | Path]) -> None:
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
