"""``make bench``: every figure of docs/benchmarks.md, measured anew. ``python -m benchmarks a c`` runs some."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from benchmarks.cached import cached
from benchmarks.choice import choices
from benchmarks.conversion import fleet, one
from benchmarks.dispatching import dispatching
from benchmarks.figures import Figure
from benchmarks.noop import noop
from benchmarks.pages import pages
from benchmarks.simulation import simulation
from benchmarks.transfer import gibibyte
from benchmarks.vendor import vendor
from enginehouse.client import Client
from farm.embedded import EmbeddedFarm

ALL = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
_WITHOUT: dict[str, Callable[[Path], Iterable[Figure]]] = {
    "e": vendor,
    "f": choices,
    "g": noop,
    "h": dispatching,
    "i": simulation,
    "j": pages,
}
"""Those that need no farm, or bring their own."""


def conditions() -> dict[str, str]:
    """What the figures were taken under."""
    packages = ("openvino", "onnxruntime", "celery", "sqlalchemy", "flask")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "machine": f"{cpu}, {len(os.sched_getaffinity(0))} cores",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "farm": "embedded: SQLite, private Redis, local store",
    }


def run(wanted: tuple[str, ...]) -> list[Figure]:
    """Measure the wanted figures, those of the farm each on a farm of its own."""
    figures: list[Figure] = []
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            without = _WITHOUT.get(name)
            for figure in without(Path(folder)) if without else _on_a_farm(name, Path(folder)):
                print(figure.line(), flush=True)
                figures.append(figure)
    return figures


def _on_a_farm(name: str, folder: Path) -> list[Figure]:
    with (
        EmbeddedFarm(folder / "home", workers=2 if name == "b" else 1) as farm,
        Client(farm.url, farm.token) as client,
    ):
        work = folder / "work"
        work.mkdir()
        if name == "a":
            return one(client, work)
        if name == "b":
            return fleet(client, work)
        if name == "c":
            api = farm.processes["api"].pid
            assert api is not None
            return gibibyte(client, work, api)
        return cached(client)


def main() -> None:
    """Measure, print, and write ``benchmarks.json`` where $BENCH_OUT says."""
    wanted = tuple(sys.argv[1:]) or ALL
    if set(wanted) - set(ALL):
        sys.exit(f"usage: python -m benchmarks [{' '.join(ALL)}]")
    around = conditions()
    print("\n".join(f"{key}: {value}" for key, value in around.items()), flush=True)
    figures = run(wanted)
    if out := os.environ.get("BENCH_OUT"):
        data = {"conditions": around, "figures": [figure.data() for figure in figures]}
        Path(out).write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
