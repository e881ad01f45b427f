"""Gates and the ladder with real builds of a real model: just above and just below what was measured."""

from __future__ import annotations

from enginehouse.client import Client
from enginehouse.gates import Gates
from enginehouse.states import BuildState, JobState, Origin
from enginehouse.targets import parse_target
from zoo.fetch import model_path

SEED = 1002
"""Its noise leaves 20 dB in eight bits, so that the first build agrees anywhere; some seeds leave less than 10."""
INT8 = parse_target("openvino:int8").model_copy(update={"options": {"calibration": "generated"}})


def test_an_int8_that_misses_its_gate_by_a_hair_gives_way_to_a_rung_that_passes(client: Client):
    model = client.models.push(model_path("ppocr-cls")).id
    asked = {"model": model, "targets": [INT8], "seed": SEED, "benchmark": False}
    first = client.jobs.wait(client.jobs.submit(**asked), timeout=240).builds[0]
    assert first.state is BuildState.SUCCEEDED, first.failure
    assert first.artifact
    report = client.artifacts.get(first.artifact).report
    assert report.verification is not None
    error = max(output.max_abs_error or 0.0 for output in report.verification.outputs)
    assert error > 0

    above = client.jobs.submit(**asked, gates=Gates(max_abs_error=error * 1.000001), ladder=True)
    assert (above.state, len(above.builds)) == (JobState.SUCCEEDED, 1)

    bound = error * 0.999999
    below = client.jobs.wait(client.jobs.submit(**asked, gates=Gates(max_abs_error=bound), ladder=True), timeout=480)
    assert below.state is JobState.SUCCEEDED, [one.failure for one in below.builds]
    missed, *_, answer = below.builds
    assert (missed.origin, missed.artifact, missed.promoted) == (Origin.CACHE, first.artifact, False)
    assert missed.failure is not None
    assert (missed.failure.code, missed.replaced_by) == ("build.gate_missed", below.builds[1].id)
    (said,) = missed.failure.where["missed"]
    assert (said["gate"], said["bound"], said["measured"]) == ("max_abs_error", bound, error)
    assert answer.target.precision != "int8" or answer.target.options["mixed"]
    assert [one.state for one in below.builds] == [BuildState.FAILED] * (len(below.builds) - 1) + [BuildState.SUCCEEDED]
    assert answer.artifact
    proof = client.artifacts.get(answer.artifact)
    assert proof.promoted
    assert proof.report.verification is not None
    assert max(output.max_abs_error or 0.0 for output in proof.report.verification.outputs) <= bound
