"""A deliberately wrong artifact is caught by verification; labels and a job's own metric measure what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from contract.backends_models import model, order, value, weights, write
from onnx import TensorProto, helper, numpy_helper

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import MetricFailed
from enginehouse.metric import Metric
from enginehouse.report import Verification
from enginehouse.targets import Precision
from workers.backends.base import Setting
from workers.backends.onnxruntime.run import OnnxRuntimeSession
from workers.backends.workpiece import Source
from workers.pipeline import run
from workers.pipeline.sides import Side, load_reference
from workers.pipeline.verify import prepare_cases, verify

HIGH = [Precision.FP32, Precision.TF32, Precision.FP16]
ALL = [*HIGH, Precision.BF16, Precision.INT8]


def net() -> Any:
    """Two outputs of one shape: a feature map before and after a second convolution."""
    return model(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="first", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["a"], name="relu"),
            helper.make_node("Conv", ["a", "v"], ["y"], name="second", pads=[1, 1, 1, 1]),
            helper.make_node("Sigmoid", ["y"], ["z"], name="sigmoid"),
        ],
        [value("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [value("y", TensorProto.FLOAT, [1, 8, 16, 16]), value("z", TensorProto.FLOAT, [1, 8, 16, 16])],
        {"w": weights(8, 3, 3, 3), "b": weights(8, seed=1), "v": weights(8, 8, 3, 3, seed=2)},
    )


def constant(made: Any, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    (tensor,) = [one for one in made.graph.initializer if one.name == name]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).astype(np.float32), name))


def perturbed(made: Any) -> None:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[3, 1, 1, 1] += 0.5
        return array

    constant(made, "w", change)


def permuted(made: Any) -> None:
    constant(made, "v", lambda array: array[::-1])


def turned(made: Any) -> None:
    """Another layout: kernels whose height and width were taken for each other."""
    constant(made, "v", lambda array: array.transpose(0, 1, 3, 2))


def swapped(made: Any) -> None:
    second, sigmoid = made.graph.node[2], made.graph.node[3]
    second.output[0], sigmoid.input[0], sigmoid.output[0] = "z", "z", "y"


def overflowed(made: Any) -> None:
    """What half precision makes of a large intermediate value: infinity, and from it nothing that is a number."""
    graph = made.graph
    constants = {"large": np.float32(4e4), "small": np.float32(2.5e-5)}
    graph.initializer.extend([numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()])
    graph.node[2].output[0] = "raw"
    graph.node.insert(3, helper.make_node("Mul", ["raw", "large"], ["wide"]))
    graph.node.insert(4, helper.make_node("Cast", ["wide"], ["half"], to=TensorProto.FLOAT16))
    graph.node.insert(5, helper.make_node("Cast", ["half"], ["back"], to=TensorProto.FLOAT))
    graph.node.insert(6, helper.make_node("Mul", ["back", "small"], ["y"]))


def verified(change: Callable[[Any], None], precision: Precision, tmp_path: Path) -> Verification:
    path = write(net(), tmp_path / "in")
    told = order(path, "onnxruntime:fp32", tmp_path / "work")
    reference = load_reference(Source(path, told.signature), 1, told.work)
    wrong = net()
    change(wrong)
    onnx.checker.check_model(wrong)
    session = OnnxRuntimeSession(write(wrong, tmp_path / "wrong"), Setting(threads=1))
    return verify(told, prepare_cases(told, reference), Side("wrong artifact", session, 0.0), precision)


@pytest.mark.parametrize("precision", ALL)
@pytest.mark.parametrize("change", [permuted, turned, swapped, overflowed])
def test_a_wrong_artifact_is_caught_in_every_precision(change: Any, precision: Precision, tmp_path: Path):
    found = verified(change, precision, tmp_path)
    assert not found.agrees
    assert all(output.agrees or output.missed for output in found.outputs)


@pytest.mark.parametrize("precision", HIGH)
def test_one_perturbed_weight_is_caught(precision: Precision, tmp_path: Path):
    assert not verified(perturbed, precision, tmp_path).agrees


@pytest.mark.parametrize("precision", ALL)
def test_the_right_artifact_is_not(precision: Precision, tmp_path: Path):
    assert verified(lambda _: None, precision, tmp_path).agrees


def test_an_overflow_is_told_as_what_it_is(tmp_path: Path):
    y = verified(overflowed, Precision.FP16, tmp_path).outputs[0]
    assert y.nonfinite > 0
    assert y.nonfinite_share == pytest.approx(y.nonfinite / (4 * 8 * 16 * 16))
    assert y.source_nonfinite_share == 0


# --- labels and a metric ----------------------------------------------------------------------


def classifier() -> Any:
    return model(
        [
            helper.make_node("MatMul", ["x", "w"], ["l"], name="matmul"),
            helper.make_node("Softmax", ["l"], ["y"], name="softmax"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 16])],
        [value("y", TensorProto.FLOAT, ["n", 8])],
        {"w": weights(16, 8)},
    )


def labelled(folder: Path, count: int = 100) -> tuple[Path, np.ndarray]:
    """Samples, and labels of which the model gets every fourth wrong by one."""
    x = np.random.default_rng(3).standard_normal((count, 1, 16)).astype(np.float32)
    labels = (x[:, 0] @ weights(16, 8)).argmax(axis=1)
    labels[::4] = (labels[::4] + 1) % 8
    np.savez(folder / "samples.npz", x=x, labels=labels)
    return folder / "samples.npz", labels


def test_labels_give_top1_and_top5_of_both_sides(tmp_path: Path):
    dataset, _ = labelled(tmp_path)
    path = write(classifier(), tmp_path / "in")
    report = run(order(path, "onnxruntime:fp32", tmp_path / "work", dataset_path=dataset, benchmark=False)).report
    top1, top5 = report.metrics
    assert (top1.name, top1.samples, top1.source, top1.artifact, top1.loss) == ("top1", 100, 0.75, 0.75, 0.0)
    assert (top5.name, top5.loss) == ("top5", 0.0)
    assert 0.75 < top5.source <= 1


def test_a_jobs_own_metric_sees_both_sides(tmp_path: Path):
    dataset, labels = labelled(tmp_path)
    path = write(classifier(), tmp_path / "in")
    code = (
        "import numpy as np\n"
        "def metric(outputs, labels):\n"
        "    scores = np.concatenate(list(outputs['y']))\n"
        "    return -np.log(scores[np.arange(len(labels)), labels]).mean()\n"
    )
    own = Metric(name="loss", code=code, higher_is_better=False)
    told = order(path, "onnxruntime:fp16", tmp_path / "work", dataset_path=dataset, benchmark=False, metric=own)
    found = run(told).report.metrics[-1]
    x = np.load(dataset)["x"][:, 0]
    scores = np.exp(x @ weights(16, 8))
    scores /= scores.sum(axis=1, keepdims=True)
    true = -np.log(scores[np.arange(100), labels]).mean()
    assert (found.name, found.samples, found.higher_is_better) == ("loss", 100, False)
    assert found.source == pytest.approx(true, rel=1e-5)
    assert found.artifact == pytest.approx(true, rel=1e-2)
    assert found.artifact != found.source
    assert found.loss == pytest.approx(found.artifact - found.source)
    assert not list(told.work.glob("metric-*"))


def test_a_metric_that_fails_fails_the_build(tmp_path: Path):
    dataset, _ = labelled(tmp_path, 4)
    path = write(classifier(), tmp_path / "in")
    own = Metric(name="mine", code="def metric(outputs, labels):\n    return outputs['nope']\n")
    with pytest.raises(MetricFailed, match="line 2: KeyError"):
        run(order(path, "onnxruntime:fp32", tmp_path / "work", dataset_path=dataset, benchmark=False, metric=own))
