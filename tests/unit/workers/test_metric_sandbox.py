"""A job's own metric: what may be submitted, what it gets, and how it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from enginehouse.errors import MetricFailed
from enginehouse.metric import MOST_CHARACTERS, Metric
from enginehouse.request import JobRequest, Recipe
from enginehouse.targets import parse_target
from scheduler.cachekey import request_key
from workers.pipeline.metric_run import Collected

MEAN = "import numpy as np\n\ndef metric(outputs, labels):\n    return np.mean([one.mean() for one in outputs['y']])\n"


def metric(code: str) -> Metric:
    return Metric(name="mine", code=code)


def value(tmp_path: Path, code: str, labels: np.ndarray | None = None, seconds: int = 60) -> float:
    collected = Collected(tmp_path / "outputs")
    for index in range(3):
        collected.add({"y": np.full((1, index + 1), index, np.float32), "hub/z:0": np.ones(2)})
    try:
        return collected.value(metric(code), labels, seconds)
    finally:
        assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def metric(outputs, labels)\n    return 1", "line 1"),
        ("x = 1", "no function metric"),
        ("def metric(outputs):\n    return 1", "two arguments"),
        ("import os\ndef metric(o, l):\n    return 1", "line 1: 'os'"),
        ("def metric(o, l):\n    from subprocess import run\n    return 1", "line 2: 'subprocess'"),
        ("from . import x\ndef metric(o, l):\n    return 1", "cannot be imported"),
        ("#" * (MOST_CHARACTERS + 1), "at most"),
        ("\0", "null bytes"),
    ],
)
def test_what_is_no_metric_is_refused_at_the_submission(code: str, says: str):
    with pytest.raises(ValidationError, match=says):
        metric(code)


@pytest.mark.parametrize("name", ["top1", "Top", "a b", ""])
def test_names(name: str):
    with pytest.raises(ValidationError, match="name"):
        Metric(name=name, code=MEAN)


def test_it_needs_samples():
    asked = {"model": "0" * 64, "targets": ["openvino:int8"], "metric": {"name": "mine", "code": MEAN}}
    with pytest.raises(ValidationError, match="dataset"):
        JobRequest.model_validate(asked)
    with pytest.raises(ValidationError, match="verify"):
        JobRequest.model_validate({**asked, "dataset": "faces", "verify": False})
    assert JobRequest.model_validate({**asked, "dataset": "faces"}).metric is not None


def test_its_text_is_part_of_the_key():
    recipe = Recipe(model="0" * 64, target=parse_target("openvino:int8"), metric=metric(MEAN))
    other = recipe.model_copy(update={"metric": metric(MEAN + "\n# other\n")})
    assert request_key(recipe) != request_key(other)
    assert request_key(recipe) == request_key(recipe.model_copy(update={"metric": metric(MEAN)}))


def test_it_gets_outputs_and_labels(tmp_path: Path):
    assert value(tmp_path, MEAN) == pytest.approx(1.0)
    code = (
        "import numpy\n"
        "def metric(outputs, labels):\n"
        "    assert len(outputs['y']) == len(labels) == 3\n"
        "    assert [one.shape for one in outputs['y'][1:]] == [(1, 2), (1, 3)]\n"
        "    assert outputs['hub/z:0'][-1].sum() == 2\n"
        "    print('heard by nobody')\n"
        "    return numpy.concatenate([one.ravel() for one in outputs['y']]).sum() + labels.sum()\n"
    )
    assert value(tmp_path, code, np.array([10, 20, 30, 40])) == 68.0
    assert value(tmp_path, "def metric(outputs, labels):\n    return labels is None") == 1.0


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("return 1 / 0", 2, "ZeroDivisionError"),
        ("x = 1\n    return outputs['nope']", 3, "KeyError"),
        ("return float('nan')", 1, "it gives nan"),
        ("return outputs", 1, "TypeError"),
        ("return open('/etc/passwd').read()", 2, "NameError"),
        ("return __import__('os').getpid()", 2, "'os' cannot be imported"),
        ("return eval('1')", 2, "NameError"),
        ("raise SystemExit(0)", 2, "SystemExit"),
        ("import numpy\n    return numpy.ones(2**33).sum()", 3, "Memory"),
        ("import numpy\n    return numpy.save('x.npy', numpy.ones(10)) or 1", 3, "Error"),
        ("return metric(outputs, labels)", 2, "RecursionError"),
    ],
)
def test_a_failure_names_the_line(tmp_path: Path, body: str, line: int, says: str):
    with pytest.raises(MetricFailed, match=says) as caught:
        value(tmp_path, f"def metric(outputs, labels):\n    {body}\n")
    assert (caught.value.where["metric"], caught.value.where["line"]) == ("mine", line)
    assert f"line {line}" in caught.value.detail


@pytest.mark.parametrize(
    ("body", "says", "line"),
    [
        ("while True:\n        pass", "did not end within 1 s", (2, 3)),
        ("import numpy\n    numpy.ctypeslib.ctypes.string_at(0)", "its process died", (3,)),
    ],
)
def test_a_hang_and_a_crash_name_the_line(tmp_path: Path, body: str, says: str, line: tuple[int, ...]):
    with pytest.raises(MetricFailed, match=says) as caught:
        value(tmp_path, f"def metric(outputs, labels):\n    {body}\n", seconds=1)
    assert caught.value.where["line"] in line


def test_no_samples_are_left_behind_when_it_is_made_anew(tmp_path: Path):
    first = Collected(tmp_path / "outputs")
    first.add({"y": np.ones(1)})
    again = Collected(tmp_path / "outputs")
    assert (again.samples, list((tmp_path / "outputs").iterdir())) == (0, [])
