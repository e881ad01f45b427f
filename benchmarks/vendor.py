"""(e) Our p50 against what the vendors' own tools say of the same model under the same settings, taken in turns.

OpenVINO: ``benchmark_app``, which comes with the openvino wheel. ONNX Runtime's wheel holds no
``onnxruntime_perf_test``, and its ``onnxruntime_test`` neither takes a number of threads nor tells a median: the peer
is the loop of its own benchmark helper (``onnxruntime.transformers.benchmark_helper.inference_ort``: ``timeit.repeat``
around ``session.run``) in a process of its own, with the threads that our baseline has.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import workers.child.quiet  # noqa: F401 - before any toolchain
from benchmarks.ahead import ahead
from benchmarks.figures import Figure
from enginehouse.capability import Hardware
from enginehouse.request import Recipe
from enginehouse.targets import parse_target
from scheduler.inspection.process import inspect_model
from workers.backends import get
from workers.backends.base import Saved
from workers.backends.options import Options
from workers.backends.workpiece import Source
from workers.cores import core_files
from workers.pipeline import run
from workers.pipeline.measure import measure
from workers.pipeline.order import Order
from workers.pipeline.samples import OrderSamples
from workers.pipeline.sides import Side, load_artifact
from zoo.fetch import model_path

MODEL, SHAPES = "ppocr-rec", {"x": (1, 3, 48, 320)}
ROUNDS = 7
SECONDS = 1.0
THREADS = 1

DISTURBED = "our timings that were disturbed"

_LATENCY = re.compile(r"Median:\s+([0-9.]+) (ms|us)")

_ORT_LOOP = """
import json, statistics, sys, time, timeit
import numpy, onnxruntime
told = json.loads(sys.argv[1])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = told["threads"], 1
session = onnxruntime.InferenceSession(told["model"], options, providers=["CPUExecutionProvider"])
noise = numpy.random.default_rng(0)
feeds = {name: noise.random(shape, numpy.float32) for name, shape in told["shapes"].items()}
timeit.repeat(lambda: session.run(None, feeds), number=1, repeat=20)
times, until = [], time.monotonic() + told["seconds"]
while time.monotonic() < until:
    times += timeit.repeat(lambda: session.run(None, feeds), number=1, repeat=20)
print(statistics.median(times) * 1e3)
"""


@dataclass
class Rounds:
    """The medians of each round, milliseconds, and how many of our timings were disturbed."""

    ours: list[float] = field(default_factory=list)
    benchmark_app: list[float] = field(default_factory=list)
    our_baseline: list[float] = field(default_factory=list)
    session_run: list[float] = field(default_factory=list)
    disturbed: int = 0


def vendor(folder: Path, rounds: int = ROUNDS) -> list[Figure]:
    """Build once, then time the artifact and its baseline, ``benchmark_app`` and the loop, one after another."""
    signature = inspect_model([("model.onnx", model_path(MODEL))])
    target = parse_target("openvino:fp32").model_copy(
        update={"options": {"reshape": "static", "threads": THREADS, "throughput_streams": [1]}}
    )
    recipe = Recipe(model="0" * 64, target=target, shapes=SHAPES, verify=False, benchmark=False)
    hardware = Hardware(hardware_class="bench", tags=["cpu"], cpu_model="", cores=THREADS, memory_mb=4096)
    order = Order(
        recipe=recipe, signature=signature, model=model_path(MODEL), work=folder, hardware=hardware,
        threads=THREADS, cores=core_files(), benchmark_s=SECONDS,
    )  # fmt: skip
    manifest = run(order).manifest
    backend = get(target.backend)
    options = backend.check(target, signature.format)
    samples = OrderSamples(order, Source(order.model, signature), THREADS)
    files = tuple(file.path for file in manifest.files if file.role == "model")
    found = Rounds()
    with ahead() as first:
        artifact = load_artifact(backend, Saved(order.bundle, manifest.entry, files), options, THREADS)
        for _ in range(rounds):
            _round(found, order, artifact, samples, options)
    notes = {
        DISTURBED: f"{found.disturbed} of {rounds}",
        "with real-time priority": "yes" if first else "no, it is not permitted",
    }
    aim = "0.9 to 1.1"
    return [
        Figure(f"(e) {MODEL}, OpenVINO's p50", found.ours, found.benchmark_app, "ms", "benchmark_app", aim, notes),
        Figure(f"(e) {MODEL}, ONNX Runtime's p50", found.our_baseline, found.session_run, "ms",
               "timeit around session.run", aim, notes),
    ]  # fmt: skip


def _round(found: Rounds, order: Order, artifact: Side, samples: OrderSamples, options: Options) -> None:
    timed = measure(order, artifact, samples.reference, samples.cases, THREADS, options)
    found.ours.append(timed.artifact.p50_ms)
    found.our_baseline.append(timed.baseline.p50_ms)
    found.disturbed += timed.disturbed
    found.benchmark_app.append(benchmark_app(order.bundle / "model.xml", THREADS, SECONDS, order.work))
    found.session_run.append(session_run(order.model, THREADS, SECONDS))


def benchmark_app(model: Path, threads: int, seconds: float, home: Path) -> float:
    """The median that OpenVINO's own tool prints, ms: one stream, one request, f32, not pinned, as ours."""
    command: list[str | Path] = [
        Path(sys.executable).with_name("benchmark_app"), "-m", model, "-d", "CPU", "-api", "sync", "-hint", "none",
        "-nstreams", "1", "-nthreads", str(threads), "-infer_precision", "f32", "-pin", "NO", "-t", str(round(seconds)),
    ]  # fmt: skip
    said = subprocess.run(command, cwd=home, check=True, capture_output=True, text=True).stdout
    found = _LATENCY.search(said)
    if found is None:
        raise RuntimeError(f"benchmark_app prints no median: {said[-500:]}")
    return float(found.group(1)) / (1000 if found.group(2) == "us" else 1)


def session_run(model: Path, threads: int, seconds: float) -> float:
    """The median of a plain loop around ``session.run``, ms, in a process of its own."""
    told = json.dumps({"model": str(model), "threads": threads, "shapes": SHAPES, "seconds": seconds})
    done = subprocess.run([sys.executable, "-c", _ORT_LOOP, told], check=True, capture_output=True, text=True)
    return float(done.stdout)
