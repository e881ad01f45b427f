"""Gates: what is missed, what is met, and that no number means no promotion."""

from __future__ import annotations

import pytest

from enginehouse.gates import Gates, missed
from enginehouse.report import Benchmark, OutputVerification, Report, Timing, Verification


def _timing(name: str, p50: float) -> Timing:
    same = {"p50_ms": p50, "p90_ms": p50 * 2, "p99_ms": p50 * 3, "mean_ms": p50, "min_ms": p50}
    return Timing(name=name, count=10, load_ms=1, first_ms=1, **same)


def _report(*, error: float = 0.01, cosine: float = 0.999, p50: float = 2.0, size: int = 100) -> Report:
    outputs = [
        OutputVerification(name="a", dtype="float32", shape=[1], max_abs_error=error / 2, cosine=1.0, agrees=True),
        OutputVerification(name="b", dtype="float32", shape=[1], max_abs_error=error, cosine=cosine, agrees=True),
        OutputVerification(name="c", dtype="int64", shape=[1], equal_share=1.0, agrees=True),
    ]
    verification = Verification(
        reference="r", inputs="seeded", samples=1, shapes={}, tolerance={}, outputs=outputs, agrees=True
    )
    benchmark = Benchmark(
        artifact=_timing("artifact", p50),
        baseline=_timing("baseline", 4.0),
        speedup=4.0 / p50,
        warmup=1,
        shapes={},
        threads=1,
        affinity=[0],
        settings={},
        load_before=0,
        load_after=0,
        disturbed=False,
    )
    return Report(model="m", target="t", size=size, verification=verification, benchmark=benchmark)


@pytest.mark.parametrize(
    ("gates", "names"),
    [
        ({}, []),
        ({"max_abs_error": 0.01}, []),
        ({"max_abs_error": 0.009}, ["max_abs_error"]),
        ({"min_cosine": 0.999}, []),
        ({"min_cosine": 0.9999}, ["min_cosine"]),
        ({"min_speedup": 2.0}, []),
        ({"min_speedup": 2.1}, ["min_speedup"]),
        ({"max_p50_ms": 2.0, "max_p90_ms": 3.9}, ["max_p90_ms"]),
        ({"max_bytes": 99}, ["max_bytes"]),
        ({"max_bytes": 100}, []),
    ],
)
def test_each_gate_at_its_bound(gates, names):
    assert [bound.gate for bound in missed(Gates(**gates), _report())] == names


def test_what_was_not_measured_is_missed():
    bare = Report(model="m", target="t", size=1)
    found = missed(Gates(min_speedup=1.0, max_abs_error=1.0, max_bytes=5), bare)
    assert [(bound.gate, bound.measured) for bound in found] == [("max_abs_error", None), ("min_speedup", None)]
    assert "not measured" in str(found[0])


def test_a_measured_nan_is_missed():
    assert missed(Gates(max_abs_error=1.0), _report(error=float("nan")))
