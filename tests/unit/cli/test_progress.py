from __future__ import annotations

import time

import pytest

from enginehouse.cli import progress
from enginehouse.cli.results import baseline_row, result_row
from enginehouse.report import Benchmark, OtherBaseline, OutputVerification, Report, Timing, Verification
from enginehouse.views import BuildView, Event, JobView

NOW = "2026-11-21T00:00:00Z"


def build(**more: object) -> BuildView:
    base = {
        "id": "build_1", "job": "job_1", "model": "0" * 64, "target": {"backend": "openvino", "precision": "fp16"},
        "state": "waiting", "phase": None, "reason": "no worker offers it", "origin": None, "artifact": None,
        "failure": None, "attempts": [], "pool": None, "created": NOW, "started": None, "ended": None,
    }  # fmt: skip
    return BuildView.model_validate({**base, **more})


def job() -> JobView:
    base = {
        "id": "job_1", "name": "", "project": "default", "model": "0" * 64, "dataset": None, "state": "waiting",
        "priority": "normal", "gates": {}, "limits": {}, "builds": [build()], "created": NOW, "ended": None,
    }  # fmt: skip
    return JobView.model_validate(base)


def test_a_ladders_next_rung_gets_a_line_of_its_own() -> None:
    states = progress.BuildStates(job())
    said = {"state": "waiting", "target": "openvino:fp32", "note": "in the place of openvino:fp16", "rung": 1}
    created = Event.model_validate(
        {"id": 2, "time": NOW, "kind": "build.created", "job": "job_1", "build": "build_2", "data": said}
    )
    assert states.update(created) == "build_2"
    assert states.line("build_2") == "openvino:fp32: waiting (in the place of openvino:fp16)"
    assert states.update(created) is None


def test_rungs_stand_under_what_they_take_the_place_of() -> None:
    mixed = build(rung=1, target={"backend": "openvino", "precision": "int8", "options": {"mixed": True}})
    assert result_row(mixed, None)[0] == "> openvino:int8 mixed"


def event(kind: str, **data: object) -> Event:
    return Event.model_validate({"id": 1, "time": NOW, "kind": kind, "job": "job_1", "build": "build_1", "data": data})


def test_plain_lines_tell_each_change_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.builds(job(), quiet=False) as tell:
        assert tell is not None
        tell(event("build.reason", reason="no worker offers it"))
        tell(event("build.dispatched", state="dispatched", reason="on its way to pool \x1b[31mp"))
        tell(event("build.running", state="running", reason="on worker w"))
        tell(event("build.phase", phase="compile"))
        tell(event("build.phase", phase="compile"))
        tell(event("build.succeeded", state="succeeded", reason="", origin="built"))
        tell(Event.model_validate({"id": 2, "time": NOW, "kind": "job.succeeded", "job": "job_1"}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "openvino:fp16: dispatched (on its way to pool p)",
        "openvino:fp16: running (on worker w)",
        "openvino:fp16: running (compile)",
        "openvino:fp16: succeeded (built)",
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.builds(job(), quiet=True) as tell:
        assert tell is None
    with progress.transfer("x", quiet=True) as told:
        told("upload", 1, 1)
    assert capsys.readouterr() == ("", "")


def test_transfer_lines_come_every_few_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 6.0, 7.0, 8.0, 9.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with progress.transfer("net.onnx", quiet=False) as told:
        for done in (0, 100, 300, 400, 1000, 1000):
            told("upload", done, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "uploading net.onnx: 30% of 1000 B",
        "uploading net.onnx: 100% of 1000 B",
    ]


def test_an_interrupted_transfer_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    import click

    with pytest.raises(click.exceptions.Exit) as caught, progress.transfer("x", quiet=False):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert "goes on where this one was" in capsys.readouterr().err


def test_a_result_row() -> None:
    timing = {
        "count": 9,
        "p50_ms": 1.5,
        "p90_ms": 2.25,
        "p99_ms": 3,
        "mean_ms": 2,
        "min_ms": 1,
        "load_ms": 1,
        "first_ms": 1,
    }
    report = Report(
        model="0" * 64,
        target="openvino:fp16",
        size=2048,
        verification=Verification(
            reference="r", inputs="seeded", samples=1, shapes={}, tolerance={}, agrees=True,
            outputs=[
                OutputVerification(name="a", dtype="float32", shape=[1], max_abs_error=1e-4, cosine=0.999, agrees=True),
                OutputVerification(name="b", dtype="float32", shape=[1], max_abs_error=2e-4, cosine=0.99, agrees=True),
                OutputVerification(name="c", dtype="int64", shape=[1], equal_share=1.0, agrees=True),
            ],
        ),
        benchmark=Benchmark(
            artifact=Timing(name="a", **timing), baseline=Timing(name="b", **timing), speedup=1.25, warmup=1, shapes={},
            threads=1, affinity=[0], settings={}, load_before=0, load_after=0, disturbed=True,
        ),
    )  # fmt: skip
    done = build(state="succeeded", origin="cache", artifact="ab" * 32)
    assert result_row(done, report) == [
        "openvino:fp16", "succeeded", "cache", "2.0 KiB", "2.00e-04", "0.990000", "1.5", "2.25", "1.25x*",
        "abababababab",
    ]  # fmt: skip
    assert result_row(build(), None) == ["openvino:fp16", "waiting", "-", *["-"] * 7]


def test_a_row_beside_another_baseline() -> None:
    measured = OtherBaseline(
        name="openvino:fp32", artifact_p50_ms=1.5, p50_ms=1.8, speedup=1.2, speedup_low=1.1, speedup_high=1.3
    )
    assert baseline_row(build(), measured) == [
        "openvino:fp16",
        "openvino:fp32",
        "1.5",
        "1.8",
        "1.20x",
        "1.10 to 1.30",
        "-",
    ]
    disturbed = measured.model_copy(update={"disturbed": True})
    assert baseline_row(build(), disturbed)[4] == "1.20x*"
    broken = OtherBaseline(name="litert:fp32", reason="no such operator")
    assert baseline_row(build(), broken) == ["openvino:fp16", "litert:fp32", "-", "-", "-", "-", "no such operator"]
