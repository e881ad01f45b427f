"""Gates: what is missed, what is met, and that no number means no promotion."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from enginehouse.gates import Gates, judge, missed
from enginehouse.report import (
    Benchmark,
    OtherBaseline,
    OutputVerification,
    Report,
    TaskMetric,
    Throughput,
    Timing,
    Verification,
)
from enginehouse.request import JobRequest


def _timing(name: str, p50: float) -> Timing:
    same = {"p50_ms": p50, "p90_ms": p50 * 2, "p99_ms": p50 * 3, "mean_ms": p50, "min_ms": p50}
    return Timing(name=name, count=10, load_ms=1, first_ms=1, memory_mb=50 * p50, **same)


def _output(name: str, **fields) -> OutputVerification:
    return OutputVerification(**{"name": name, "dtype": "float32", "shape": [1], "agrees": True, **fields})


def _metric(name: str, source: float, artifact: float) -> TaskMetric:
    loss = source - artifact
    return TaskMetric(name=name, source=source, artifact=artifact, loss=loss, relative_loss=loss / source, samples=100)


def _report(
    *, error: float = 0.01, cosine: float = 0.999, p50: float = 2.0, size: int = 100, low: float | None = 1.5, **fields
) -> Report:
    outputs = [
        _output("a", max_abs_error=error / 2, max_rel_error=0.1, cosine=1.0, sqnr_db=60.0),
        _output("b", max_abs_error=error, max_rel_error=0.2, cosine=cosine, sqnr_db=30.0, top1_agreement=0.75),
        _output("c", dtype="int64", equal_share=1.0),
    ]
    verification = Verification(
        reference="r", inputs="seeded", samples=1, shapes={}, tolerance={}, outputs=outputs, agrees=True
    )
    sides = [("artifact", 1, 1, 400.0), ("artifact", 2, 4, 150.0), ("baseline", 2, 4, 900.0)]
    benchmark = Benchmark(
        artifact=_timing("artifact", p50),
        baseline=_timing("onnxruntime fp32", 4.0),
        speedup=4.0 / p50,
        speedup_low=low,
        speedup_high=None if low is None else 2.5,
        throughput=[
            Throughput(side=side, streams=streams, threads=2, batch=batch, count=9, per_s=per_s)
            for side, streams, batch, per_s in sides
        ],
        warmup=1,
        shapes={},
        threads=1,
        affinity=[0],
        settings={},
        load_before=0,
        load_after=0,
        disturbed=False,
    )
    given = {"model": "m", "target": "t", "size": size, "verification": verification, "benchmark": benchmark}
    metrics = [_metric("top1", 0.8, 0.75), _metric("f1", 0.5, 0.48)]
    return Report(**{**given, "metrics": metrics, **fields})


MEASURED = {
    "max_abs_error": 0.01,
    "max_rel_error": 0.2,
    "min_cosine": 0.999,
    "min_sqnr_db": 30.0,
    "min_top1_agreement": 0.75,
    "max_metric_loss": 0.05,
    "max_relative_metric_loss": 0.0625,
    "min_speedup": 1.5,
    "max_p50_ms": 2.0,
    "max_p90_ms": 4.0,
    "max_p99_ms": 6.0,
    "min_throughput": 600.0,
    "max_memory_mb": 100.0,
    "max_bytes": 100,
}


def test_every_gate_is_tried_below():
    assert set(MEASURED) == set(Gates.model_fields)


@pytest.mark.parametrize("gate", MEASURED)
def test_each_gate_just_above_and_just_below_the_measured_value(gate):
    step = 1 if gate == "max_bytes" else 1e-9
    easier, harder = (-step, step) if gate.startswith("min_") else (step, -step)
    assert missed(Gates(**{gate: MEASURED[gate] + easier}), _report()) == []
    (found,) = missed(Gates(**{gate: MEASURED[gate] + harder}), _report())
    assert (found.gate, found.measured) == (gate, pytest.approx(MEASURED[gate]))


@pytest.mark.parametrize("gate", ["max_abs_error", "min_cosine", "min_speedup", "max_p50_ms", "max_bytes"])
def test_a_gate_at_the_measured_value_is_met(gate):
    assert missed(Gates(**{gate: MEASURED[gate]}), _report()) == []


def test_a_missed_gate_says_of_what_and_over_which_baseline():
    (error,) = missed(Gates(max_abs_error=0.001), _report())
    assert str(error) == "max_abs_error 0.001, measured 0.01 (b)"
    (hair,) = missed(Gates(max_abs_error=0.0099999999), _report())
    assert str(hair) == "max_abs_error 0.0099999999, measured 0.01 (b)"
    (speedup,) = missed(Gates(min_speedup=1.9), _report())
    assert "measured 1.5" in str(speedup)
    assert "confidence interval of 2" in speedup.of
    assert "over onnxruntime fp32" in speedup.of


def test_a_report_without_an_interval_is_judged_by_its_speedup():
    assert missed(Gates(min_speedup=2.0), _report(low=None)) == []
    assert [bound.measured for bound in missed(Gates(min_speedup=2.1), _report(low=None))] == [2.0]


def test_a_bound_for_a_named_metric_looks_at_that_one_only():
    assert missed(Gates(max_metric_loss={"f1": 0.03}), _report()) == []
    (lost,) = missed(Gates(max_metric_loss={"f1": 0.03, "top1": 0.03}), _report())
    assert (lost.of, lost.measured) == ("top1", pytest.approx(0.05))
    (unknown,) = missed(Gates(max_metric_loss={"recall": 0.5}), _report())
    assert str(unknown) == "max_metric_loss 0.5, not measured (recall)"


def _beside(*others: OtherBaseline, target: str = "openvino:int8@cpu") -> Report:
    report = _report(target=target)
    assert report.benchmark is not None
    report.benchmark.others = list(others)
    return report


FP32 = OtherBaseline(name="openvino:fp32", speedup=1.4, speedup_low=1.25, speedup_high=1.6)
PLAIN = OtherBaseline(name="onnxruntime:fp32", speedup=3.0, speedup_low=2.5, speedup_high=4.0)


def test_a_bound_over_a_named_baseline_looks_at_the_lower_end_of_its_own_interval():
    report = _beside(PLAIN, FP32)
    assert missed(Gates(min_speedup={"openvino:fp32": 1.25}), report) == []
    assert missed(Gates(min_speedup={"openvino:fp32": 1.25 - 1e-9}), report) == []
    (found,) = missed(Gates(min_speedup={"openvino:fp32": 1.25 + 1e-9, "onnxruntime:fp32": 2.5}), report)
    assert (found.gate, found.measured) == ("min_speedup", 1.25)
    assert found.of == "lower end of the confidence interval of 1.4, over openvino:fp32"


def test_the_source_model_is_a_baseline_by_that_name():
    report = _beside(FP32)
    assert missed(Gates(min_speedup={"source": 1.5, "openvino:fp32": 1.25}), report) == []
    found = missed(Gates(min_speedup={"SOURCE": 1.5 + 1e-9, "openvino:fp32": 2}), report)
    assert [one.measured for one in found] == [1.5, 1.25]
    assert found[0].of.endswith("over onnxruntime fp32")
    assert [str(one) for one in missed(Gates(min_speedup=1.5 + 1e-9), report)] == [str(found[0])]


def test_a_baseline_without_an_interval_is_judged_by_its_speedup():
    report = _beside(FP32.model_copy(update={"speedup_low": None, "speedup_high": None}))
    assert missed(Gates(min_speedup={"openvino:fp32": 1.4}), report) == []
    assert [one.measured for one in missed(Gates(min_speedup={"openvino:fp32": 1.41}), report)] == [1.4]


def test_a_baseline_that_was_not_measured_is_missed_with_its_reason():
    broken = OtherBaseline(name="litert:fp32", reason="no such operator")
    (found,) = missed(Gates(min_speedup={"litert:fp32": 0.1}), _beside(broken, FP32))
    assert str(found) == "min_speedup 0.1, not measured (over litert:fp32: no such operator)"
    (unknown,) = missed(Gates(min_speedup={"tensorrt:fp32": 0.1}), _beside(FP32))
    assert str(unknown) == "min_speedup 0.1, not measured (over tensorrt:fp32)"
    (bare,) = missed(Gates(min_speedup={"openvino:fp32": 1}), Report(model="m", target="openvino:int8", size=1))
    assert bare.measured is None
    assert missed(Gates(min_speedup=1), _beside(broken)) == []


def test_over_itself_there_is_no_speedup_but_over_itself_with_other_options_there_is():
    gates = Gates(min_speedup={"openvino:fp32": 1.3})
    assert missed(gates, _beside(PLAIN, target="openvino:fp32@cpu")) == []
    assert [one.measured for one in missed(gates, _beside(FP32, target="openvino:fp32@cpu"))] == [1.25]
    assert [one.measured for one in missed(gates, _beside(PLAIN, target="openvino:fp16"))] == [None]


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({"fp32": 1}, "neither 'source' nor the BACKEND:PRECISION"),
        ({"": 1}, "neither 'source' nor the BACKEND:PRECISION"),
        ({"openvino:fp33": 1}, "'fp33' in 'openvino:fp33' is not one of"),
        ({"auto": 1}, "'auto' is no baseline"),
        ({"openvino:fp32@cpu": 1}, "a baseline has no hardware tags"),
        ({"openvino:fp32": 1, "OpenVINO:FP32": 2}, "openvino:fp32 is given twice"),
        ({"openvino:fp32": 0}, "greater than 0"),
        ({"openvino:fp32": float("inf")}, "finite"),
    ],
)
def test_bounds_over_what_is_no_baseline_are_refused(bounds, says):
    with pytest.raises(ValidationError, match=says):
        Gates(min_speedup=bounds)


def test_gates_know_which_baselines_they_need():
    gates = Gates(min_speedup={"source": 2, "openvino:fp32": 1.2, "onnxruntime:fp32": 1})
    assert [str(one) for one in gates.baselines()] == ["openvino:fp32", "onnxruntime:fp32"]
    assert gates.over_source_alone() == Gates(min_speedup=2)
    assert Gates(min_speedup={"openvino:fp32": 1.2}).over_source_alone() == Gates()
    plain = Gates(min_speedup=2, min_cosine=0.9)
    assert (plain.baselines(), plain.over_source_alone()) == ((), plain)


def test_what_was_not_measured_is_missed():
    bare = Report(model="m", target="t", size=1)
    found = missed(Gates(**{**MEASURED, "max_bytes": 5}), bare)
    assert [bound.gate for bound in found] == [gate for gate in MEASURED if gate != "max_bytes"]
    assert {bound.measured for bound in found} == {None}
    assert "not measured" in str(found[0])


@pytest.mark.parametrize("place", [0, 1])
def test_a_measured_nan_is_missed_wherever_it_stands(place):
    report = _report()
    assert report.verification is not None
    report.verification.outputs[place].max_abs_error = float("nan")
    assert [bound.gate for bound in missed(Gates(max_abs_error=1.0), report)] == ["max_abs_error"]


@pytest.mark.parametrize(
    "gates", [{"max_abs_error": float("inf")}, {"min_cosine": 1.1}, {"max_metric_loss": {"a": -1}}]
)
def test_bounds_that_bound_nothing_are_refused(gates):
    with pytest.raises(ValidationError):
        Gates(**gates)


def _disagreeing(**fields) -> Report:
    output = _output("y", agrees=False, **fields)
    fine = _output("z", max_abs_error=0.0, cosine=1.0)
    verification = Verification(
        reference="r", inputs="seeded", samples=1, shapes={}, tolerance={}, outputs=[output, fine], agrees=False
    )
    return Report(model="m", target="t", size=1, verification=verification)


def _code(gates: Gates, report: Report) -> str | None:
    failure = judge(gates, report)
    return failure.code if failure else None


def test_outside_the_tolerance_is_refused_unless_a_bound_says_what_it_may_be():
    far = _disagreeing(max_abs_error=0.5, cosine=0.9)
    assert _code(Gates(), far) == "build.outputs_disagree"
    assert _code(Gates(max_bytes=5), far) == "build.outputs_disagree"
    assert _code(Gates(max_abs_error=0.5), far) is None
    assert _code(Gates(max_abs_error=0.49), far) == "build.gate_missed"


def test_a_bound_excuses_no_output_that_it_does_not_measure():
    integers = _disagreeing(dtype="int64", equal_share=0.1)
    assert _code(Gates(max_abs_error=0.5), integers) == "build.outputs_disagree"
    assert _code(Gates(min_top1_agreement=0.5), _disagreeing(max_abs_error=0.5)) == "build.outputs_disagree"


def test_no_bound_allows_nan():
    broken = _disagreeing(max_abs_error=0.0, nonfinite=3)
    assert _code(Gates(max_abs_error=0.5), broken) == "build.outputs_disagree"


def test_a_metric_speaks_of_all_outputs():
    report = _disagreeing(max_abs_error=9.0).model_copy(update={"metrics": [_metric("top1", 0.8, 0.79)]})
    assert _code(Gates(max_metric_loss=0.02), report) is None
    assert _code(Gates(max_metric_loss=0.001), report) == "build.gate_missed"


def _request(**fields) -> JobRequest:
    return JobRequest(model="0" * 64, targets=["openvino:int8@cpu+avx2", "onnxruntime:fp16"], **fields)


def test_a_targets_own_gates_take_the_place_of_those_for_all():
    request = _request(
        gates=Gates(min_cosine=0.99, max_bytes=9), target_gates={"openvino:int8@avx2+cpu": Gates(min_cosine=0.9)}
    )
    first, second = request.targets
    assert request.gates_of(first) == Gates(min_cosine=0.9, max_bytes=9)
    assert request.gates_of(second) == Gates(min_cosine=0.99, max_bytes=9)


@pytest.mark.parametrize("name", ["openvino:int8", "onnxruntime:fp32", "nonsense", "openvino:int9"])
def test_gates_of_what_is_no_target_of_the_job_are_refused(name):
    with pytest.raises(ValidationError, match="target_gates"):
        _request(target_gates={name: Gates(min_cosine=0.9)})
