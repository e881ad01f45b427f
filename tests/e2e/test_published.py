"""Every graph that the onnx package publishes goes through the farm as far as the toolchain alone takes it.

By default to OpenVINO; ENGINEHOUSE_TEST_PUBLISHED=all (``make published``) takes every backend, which is some seconds
a graph, and writes docs/published.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from published import Published, all_published

from enginehouse.client import Client
from enginehouse.states import BuildState
from workers.backends import get
from workers.backends.base import Saved, Setting

PAGE = Path(__file__).parents[2] / "docs/published.md"
EVERY = os.environ.get("ENGINEHOUSE_TEST_PUBLISHED") == "all"
BACKENDS = ("openvino", "onnxruntime", "litert") if EVERY else ("openvino",)

pytestmark = pytest.mark.timeout(7200 if EVERY else 600)


def graphs() -> list[Published]:
    return all_published()


def alone(backend: str, folder: Path) -> dict[str, dict]:
    """How the toolchain does without the farm; a graph that takes the process with it has not passed."""
    left = [one.name for one in graphs()]
    found: dict[str, dict] = {}
    while left:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("published.py")), backend, str(folder)],
            input="\n".join(left),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        found |= {answer["name"]: answer for answer in map(json.loads, done.stdout.splitlines())}
        left = [name for name in left if name not in found]
        if left and done.returncode:
            found[left[0]] = {"name": left[0], "passed": False, "why": f"the process died ({done.returncode})"}
            left.pop(0)
    return found


def through_the_farm(client: Client, backend: str, folder: Path) -> dict[str, dict]:
    """Each graph with its published inputs as the dataset; the artifact is fetched, and run on them."""
    jobs = {}
    for one in graphs():
        model = client.models.push(one.path)
        jobs[one.name] = client.jobs.submit(
            model=model.id, targets=[f"{backend}:fp32"], dataset=dataset(client, one, folder), benchmark=False
        )
    found = {}
    for one in graphs():
        (build,) = client.jobs.wait(jobs[one.name], timeout=3600).builds
        why = f"{build.failure.code}: {build.failure.detail}" if build.failure else ""
        passed = build.state is BuildState.SUCCEEDED
        if build.artifact:
            place = folder / one.name
            manifest = client.artifacts.download(build.artifact, place)
            given = one.given_by(run(backend, Saved(place, manifest.entry, ()), one))
            passed, why = (True, "") if given else (False, why or "other outputs than the published ones")
        found[one.name] = {"name": one.name, "passed": passed, "why": why}
    return found


def dataset(client: Client, one: Published, folder: Path) -> str:
    """The published inputs as one sample."""
    np.savez(folder / "inputs.npz", **{name: array[None] for name, array in one.inputs.items()})
    return client.datasets.push(folder / "inputs.npz", name=f"published-{one.name.lower()}").id


def run(backend: str, saved: Saved, one: Published) -> list[np.ndarray]:
    toolchain = get(backend)
    outputs = toolchain.load(saved, toolchain.options(), Setting(threads=1)).run(one.inputs)
    return [np.asarray(outputs[output.name]) for output in one.graph.output]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_the_toolchain_takes_the_farm_takes(client: Client, backend: str, tmp_path: Path):
    direct, farm = alone(backend, tmp_path), through_the_farm(client, backend, tmp_path)
    if EVERY:
        write(backend, direct, farm)
    lost = {name: farm[name]["why"] for name in direct if direct[name]["passed"] and not farm[name]["passed"]}
    assert lost == {}


def write(backend: str, direct: dict[str, dict], farm: dict[str, dict]) -> None:
    """The backend's section of the page, made anew."""
    sections = PAGE.read_text().split("\n## ") if PAGE.exists() else ["# Published graphs\n"]
    kept = [section for section in sections if not section.startswith(f"{backend}\n")]
    passed = sum(one["passed"] for one in farm.values())
    alone_passed = sum(one["passed"] for one in direct.values())
    lines = [
        f"{backend}\n",
        f"{passed} of {len(farm)} through the farm; {alone_passed} by the toolchain alone.\n",
        "| graph | through the farm | the toolchain alone |",
        "|---|---|---|",
    ]
    for name, one in farm.items():
        if not one["passed"]:
            theirs = direct[name]["why"] or "passes"
            lines.append(f"| {name} | {cell(one['why'])} | {cell(theirs)} |")
    PAGE.write_text("\n## ".join([*kept, "\n".join(lines) + "\n"]))


def cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:240]
