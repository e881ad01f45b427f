"""Where an artifact loses its precision is told by the node's name, and keeping that node in float mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.backends_models import model, order, value, weights, write
from onnx import TensorProto, helper

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import InvalidOption
from enginehouse.report import Report
from workers.pipeline import run
from workers.pipeline.compare import Comparison
from workers.pipeline.lossy import ranked

BACKENDS = ["openvino", "onnxruntime", "litert"]


def outlier(loud: float = 2000) -> Any:
    """Three convolutions; what 'bad' reads has one channel ``loud`` times as large as the others, and hardly uses it.

    One scale for all of it leaves the others no bits.
    """
    first, second = weights(16, 16, 1, 1, seed=1, scale=0.4), weights(16, 16, 1, 1, seed=2, scale=0.4)
    first[5] *= loud
    second[:, 5] /= 10 * loud
    return model(
        [
            helper.make_node("Conv", ["x", "a"], ["h"], name="good"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Conv", ["r", "b"], ["t"], name="bad"),
            helper.make_node("Relu", ["t"], ["u"], name="relu2"),
            helper.make_node("Conv", ["u", "c"], ["y"], name="last"),
        ],
        [value("x", TensorProto.FLOAT, [1, 16, 8, 8])],
        [value("y", TensorProto.FLOAT, [1, 16, 8, 8])],
        {"a": first, "b": second, "c": weights(16, 16, 1, 1, seed=3)},
    )


def built(backend: str, tmp_path: Path, loud: float = 2000, **options: Any) -> Report:
    samples = np.random.default_rng(5).standard_normal((8, 1, 16, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=samples)
    path = write(outlier(loud), tmp_path / "in")
    told = order(
        path, f"{backend}:int8", tmp_path / "work", dataset_path=tmp_path / "samples.npz", benchmark=False,
        options=options,
    )  # fmt: skip
    return run(told).report


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_bad_layer_is_named_and_mixed_mends_it(backend: str, tmp_path: Path):
    report = built(backend, tmp_path, mixed=True)
    assert report.verification is not None
    assert report.verification.agrees, report.verification.outputs
    worst = report.lossy_layers[0]
    assert (worst.node, worst.type) == ("bad", "Conv")
    assert worst.drop > 10
    assert "bad" in report.kept_float
    assert any(note.startswith("mixed:") and "bad" in note for note in report.notes)


def test_mixed_keeps_layers_of_what_agrees_too(tmp_path: Path):
    reports = []
    for mixed in (False, True):
        (tmp_path / str(mixed)).mkdir()
        reports.append(built("onnxruntime", tmp_path / str(mixed), loud=50, mixed=mixed))
    plain, better = (report.verification.outputs[0].sqnr_db for report in reports)  # type: ignore[union-attr]
    assert all(report.verification.agrees for report in reports)  # type: ignore[union-attr]
    assert reports[0].kept_float == []
    assert "bad" in reports[1].kept_float
    assert better > plain  # type: ignore[operator]


def test_without_mixed_it_is_named_and_left(tmp_path: Path):
    report = built("onnxruntime", tmp_path)
    assert report.verification is not None
    assert not report.verification.agrees
    assert report.lossy_layers[0].node == "bad"
    assert "bad" not in report.kept_float


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_node_that_is_not_there_cannot_be_kept(backend: str, tmp_path: Path):
    with pytest.raises(InvalidOption, match="nope"):
        built(backend, tmp_path, keep_float=["nope"])


@pytest.mark.parametrize("option", [{"keep_float": ["bad"]}, {"mixed": True}])
def test_a_precision_that_takes_in_everything_says_so(option: dict[str, Any], tmp_path: Path):
    path = write(outlier(), tmp_path / "in")
    with pytest.raises(InvalidOption, match="takes in the whole model"):
        run(order(path, "litert:fp16", tmp_path / "work", options=option, benchmark=False))


def test_drops_are_against_a_nodes_own_inputs():
    def compared(noise: float) -> Comparison:
        true = np.random.default_rng(0).standard_normal(1000)
        found = Comparison("y")
        found.add((true + noise * np.random.default_rng(1).standard_normal(1000)), true)
        return found

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("Sub", ["a", "mean"], ["b"], name="cancels"),
        helper.make_node("Identity", ["b"], ["lost"], name="unseen"),
        helper.make_node("Conv", ["lost", "v"], ["c"], name="heir"),
    ]
    found = ranked(nodes, {"a": compared(0.01), "b": compared(0.3), "c": compared(0.31)}, 35.0)
    assert [row.node for row in found.rows] == ["cancels"]
    assert found.rows[0].drop == pytest.approx(35 - 10.4, abs=1.0)
    assert found.keep == [["cancels", "first"]]  # it has no weights: what comes before it has the noise


def test_a_fused_layer_is_told_by_what_follows_it():
    true = np.random.default_rng(0).standard_normal(1000)
    noisy = Comparison("b")
    noisy.add(true + np.random.default_rng(1).standard_normal(1000), true)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], name="conv"), helper.make_node("Relu", ["a"], ["b"], name="r")]
    found = ranked(nodes, {"b": noisy}, 35.0)
    assert ([row.node for row in found.rows], found.keep) == (["conv"], [["conv"]])
