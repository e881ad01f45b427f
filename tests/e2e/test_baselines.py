"""Baselines from the command line to the verdict: a real model, a build that beats one bound and misses another."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from enginehouse.cli.exit_codes import ExitCode
from enginehouse.client import Client
from enginehouse.states import JobState
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path

pytestmark = pytest.mark.timeout(600)


def cli(farm: EmbeddedFarm, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    environment = {**os.environ, "ENGINEHOUSE_URL": farm.url, "ENGINEHOUSE_TOKEN": farm.token}
    command = [sys.executable, "-m", "enginehouse", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_build_is_judged_by_the_baseline_that_a_gate_names(farm: EmbeddedFarm, client: Client, seed: int) -> None:
    asked = ["submit", str(model_path("ppocr-cls")), "-t", "openvino:fp16", "--seed", str(seed), "--json"]
    both = ["--baseline", "openvino:fp32", "--gate", "min_speedup=onnxruntime:fp32:0.000001"]
    job = json.loads(cli(farm, *asked, *both))
    assert job["state"] == JobState.SUCCEEDED
    (build,) = job["builds"]
    assert [f"{one['backend']}:{one['precision']}" for one in build["baselines"]] == [
        "openvino:fp32",
        "onnxruntime:fp32",
    ]
    benchmark = client.artifacts.get(build["artifact"]).report.benchmark
    assert benchmark is not None
    rows = {one.name: one for one in benchmark.others}
    assert set(rows) == {"openvino:fp32", "onnxruntime:fp32"}
    assert all(one.speedup_low and one.speedup_high and not one.reason for one in rows.values())

    # What was measured is found again, and judged by the bounds of who asks.
    low = rows["openvino:fp32"].speedup_low
    assert low is not None
    met = ["--baseline", "onnxruntime:fp32", "--gate", f"min_speedup=openvino:fp32:{low!r}"]
    again = json.loads(cli(farm, *asked, *met))
    assert (again["builds"][0]["origin"], again["builds"][0]["artifact"]) == ("cache", build["artifact"])
    above = ["--baseline", "onnxruntime:fp32", "--gate", f"min_speedup=openvino:fp32:{low * 1.000001!r}"]
    missed = json.loads(cli(farm, *asked, *above, code=ExitCode.FAILED))
    failure = missed["builds"][0]["failure"]
    assert failure["code"] == "build.gate_missed"
    assert "over openvino:fp32" in failure["detail"]
    assert missed["builds"][0]["artifact"] == build["artifact"]


def test_the_table_shows_each_baseline(farm: EmbeddedFarm, seed: int) -> None:
    text = cli(
        farm, "submit", str(model_path("ppocr-cls")), "-t", "onnxruntime:fp32", "--seed", str(seed),
        "--baseline", "openvino:fp32",
    )  # fmt: skip
    (row,) = [line for line in text.splitlines() if line.startswith("onnxruntime:fp32") and "openvino:fp32" in line]
    assert " to " in row


def test_a_baseline_that_no_worker_offers_beside_the_target_is_refused(farm: EmbeddedFarm) -> None:
    asked = ["submit", str(model_path("ppocr-cls")), "-t", "openvino:fp16", "--baseline", "openvino:tf32"]
    assert cli(farm, *asked, code=ExitCode.REFUSED) == ""
