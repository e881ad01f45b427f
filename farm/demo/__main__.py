"""Set up, build, prove, measure, download, run, stop. ``make demo`` runs this."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from enginehouse.client import Client
from enginehouse.errors import EnginehouseError
from enginehouse.states import JobState
from enginehouse.views import ArtifactView, JobView
from farm.demo import ir
from farm.demo.progress import Live
from farm.demo.table import conditions, origin, rows, table
from farm.embedded import EmbeddedFarm
from farm.errors import StartError
from zoo import CATALOGUE, ZooError, model_path

MODEL = "ppocr-rec"
SHAPES = {"x": (1, 3, 48, 320)}
TARGETS = ("openvino:fp32", "openvino:fp16", "onnxruntime:fp32")
HOME = Path(__file__).resolve().parents[2] / ".farm"
OUT = Path("out")
LONGEST_S = 900
_TABLE_WIDTH = 100
"""A narrower terminal wraps the table; cut-off numbers would be worse."""


def main() -> int:
    """0 when everything worked, 1 when anything did not."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    console = Console(highlight=False, width=max(_TABLE_WIDTH, shutil.get_terminal_size((140, 24)).columns))
    begun = time.monotonic()
    try:
        good = _demo(console)
    except (StartError, ZooError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        good = False
    except EnginehouseError as error:
        console.print(f"Error: {error.title}: {error.detail}. {error.hint}", style="red", markup=False)
        good = False
    except KeyboardInterrupt:
        console.print("Interrupted; everything was stopped.")
        return 130
    console.print(f"{'Done' if good else 'Failed'} after {time.monotonic() - begun:.1f} s; everything was stopped.")
    return 0 if good else 1


def _demo(console: Console) -> bool:
    model = CATALOGUE.models[MODEL]
    console.print(
        f"[bold]{model.about}[/], {model.size / 1e6:.1f} MB, from {model.wheel.package} {model.wheel.version}"
    )
    path = model_path(MODEL)
    begun = time.monotonic()
    with EmbeddedFarm(HOME, say=lambda line: console.print(line, style="yellow", markup=False)) as farm:
        parts = ", ".join(farm.processes)
        console.print(f"The farm runs at {farm.url} ({parts}), started in {time.monotonic() - begun:.1f} s")
        with Client(farm.url, farm.token) as client:
            return _job(console, client, path)


def _job(console: Console, client: Client, path: Path) -> bool:
    begun = time.monotonic()
    model = client.models.push(path)
    job = client.jobs.submit(model=model.id, targets=list(TARGETS), shapes=SHAPES, name="demo")
    console.print(f"Job {job.id}: model {model.id[:12]} for {', '.join(TARGETS)}")
    with Live(console, job) as live:
        job = client.jobs.wait(job, timeout=LONGEST_S, on_event=live.hear)
    seconds = time.monotonic() - begun
    artifacts = {build.artifact: client.artifacts.get(build.artifact) for build in job.builds if build.artifact}
    console.print()
    console.print(table(rows(job.builds, artifacts)))
    console.print(f"({conditions([artifact.report for artifact in artifacts.values()])})", style="dim", markup=False)
    console.print()
    console.print(f"From push to the last artifact: {seconds:.1f} s. {origin(job.builds)}")
    if job.state != JobState.SUCCEEDED:
        _explain(console, job)
        return False
    _fetch_and_run(console, client, job, artifacts)
    return True


def _explain(console: Console, job: JobView) -> None:
    for build in job.builds:
        if build.failure:
            line = f"{build.target}: {build.failure.code}: {build.failure.detail} {build.failure.advice}"
            console.print(line, style="red", markup=False)


def _fetch_and_run(console: Console, client: Client, job: JobView, artifacts: dict[str, ArtifactView]) -> None:
    for build in job.builds:
        assert build.artifact is not None, "a build that succeeded has an artifact"
        folder = OUT / str(build.target).replace(":", "-").replace("@", "-")
        manifest = client.artifacts.download(build.artifact, folder)
        console.print(f"Downloaded {folder}/ ({', '.join(file.path for file in manifest.files)})", markup=False)
        if build.target.backend == "openvino":
            shapes = _shapes(artifacts[build.artifact])
            outputs = ir.run(folder / manifest.entry, shapes)
            said = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
            console.print(f"  OpenVINO loaded {folder / manifest.entry} and ran it: {said}", markup=False)


def _shapes(artifact: ArtifactView) -> dict[str, Sequence[int]]:
    """What the farm itself fed."""
    verified = artifact.report.verification
    assert verified is not None, "the job asked for verification"
    return dict(verified.shapes)


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
