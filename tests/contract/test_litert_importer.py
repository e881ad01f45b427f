"""The import of ONNX into TensorFlow Lite, against ONNX's own test cases and the graphs of its package."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from contract.backends_models import LIGHT, signature
from onnx import numpy_helper

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import BuildError
from workers.backends.base import Setting
from workers.backends.litert import convert, names
from workers.backends.litert.flatbuffer import packed, unpacked
from workers.backends.litert.run import LiteRtSession
from workers.backends.litert.shapes import open_shapes
from workers.backends.workpiece import Source
from workers.sources.tf_runtime import tensorflow

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow")

GRAPHS = sorted([*LIGHT.glob("pytorch-converted/*"), *LIGHT.glob("pytorch-operator/*")])
BEYOND = {
    # Doubles of up to 1e300, which float32 does not hold.
    "test_operator_add_broadcast",
    "test_operator_add_size1_right_broadcast",
    "test_operator_add_size1_singleton_broadcast",
    "test_operator_addconstant",
}

REFUSED = re.compile(
    r"with_argmax|antialias|crop_and_resize|not_larger|not_smaller|dilations|peepholes|training|blocked|tanh_approx"
    r"|scatter\w*_(max|min|multiply|reduction_(mul|max|min))|bicubic|volumetric|reflection|scan_sum|loop1[136]|range_.*expanded"
    r"|sequence|optional|_opt_|_seq|convtranspose_3d|dropout_default_mask|batchnorm_\w+_training"
)
"""Cases of forms that are refused by name, or that work on sequences and options."""
ELSEWHERE = re.compile(r"bitshift_\w*(negative|ge_width)|downsample_scales_(linear|cubic)_align_corners$")
"""Cases that ONNX Runtime, the reference, answers otherwise than ONNX's own implementation, or not at all."""
_HALVES = ("float16", "float64", "bfloat16")


def computed(array: Any) -> Any:
    """An array in the type that it is computed in."""
    found = np.asarray(array)
    return found.astype(np.float32) if found.dtype.name in _HALVES else found


def cases() -> Iterator[Any]:
    """ONNX's cases of one node whose operator has a rule."""
    from onnx.backend.test.case.node import collect_testcases

    from workers.backends.litert.importer import OPERATORS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they divide by zero on purpose
        found = collect_testcases(None)
    for case in found:
        nodes = case.model.graph.node
        arrays = [one for part in case.data_sets[0] for one in part]
        numbers = all(isinstance(one, (np.ndarray, np.generic)) and one.dtype.kind in "biuf" for one in arrays)
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS and numbers:
            yield case


def outputs(case: Any, constants: bool) -> list[Any]:
    """What the import makes of a case at once; ``constants``: all inputs but the first are known beforehand."""
    tf = tensorflow()
    from workers.backends.litert.importer import Graph, Value

    versions = {one.domain: one.version for one in case.model.opset_import}
    inputs = [computed(one) for one in case.data_sets[0][0]]
    values = [Value(one if constants and index else tf.constant(one)) for index, one in enumerate(inputs)]
    return [np.asarray(one.first()) for one in Graph(case.model.graph, versions).run(values)]


def agrees(case: Any, found: list[Any]) -> bool:
    for mine, true in zip(found, (computed(one) for one in case.data_sets[0][1]), strict=True):
        close = 1e-2 if case.data_sets[0][1][0].dtype.name in _HALVES else 1e-3
        if mine.shape != true.shape or not np.allclose(mine, true, rtol=close, atol=1e-4, equal_nan=True):
            return False
    return True


def test_operators_mean_what_onnx_says() -> None:
    wrong, tried = [], set()
    for case in cases():
        if REFUSED.search(case.name) or ELSEWHERE.search(case.name):
            continue
        tried.add(case.model.graph.node[0].op_type)
        try:
            right = agrees(case, outputs(case, constants=False))
        except BuildError:  # sizes and axes that no exporter computes
            right = False
        if not right and not agrees(case, outputs(case, constants=True)):
            wrong.append(case.name)
    assert wrong == []
    assert len(tried) > 140


def test_forms_that_cannot_be_said_are_refused_by_name() -> None:
    refused = [case for case in cases() if REFUSED.search(case.name) and "expanded" not in case.name]
    assert len(refused) > 30
    for case in refused:
        try:
            found = outputs(case, constants=True)
        except BuildError as error:
            assert error.where["operators"] == [case.model.graph.node[0].op_type]
        except KeyError:
            continue  # an output that is not made, of a graph that is never converted so
        else:
            assert agrees(case, found), case.name


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of each graph that PyTorch exported: '' where it answers what the package says."""
    from workers.backends.litert import from_onnx

    work = tmp_path_factory.mktemp("graphs")
    results: dict[str, str] = {}
    for graph in GRAPHS:
        described = signature(graph / "model.onnx")
        source = Source(graph / "model.onnx", described)
        try:
            data, inputs, ends = from_onnx.convert(source, open_shapes(described.inputs), work)
            model = unpacked(data)
            names.rename(model, described, *names.wired(model, inputs, ends))
            (work / convert.ENTRY).write_bytes(packed(model))
            session = LiteRtSession(work / convert.ENTRY, Setting(1), xnnpack=True)
            results[graph.name] = compared(graph, described, session)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            results[graph.name] = f"{type(error).__name__}: {error}"
    return results


def compared(graph: Path, described: Any, session: LiteRtSession) -> str:
    folder = graph / "test_data_set_0"
    arrays = {
        part: [numpy_helper.to_array(onnx.load_tensor(file)) for file in sorted(folder.glob(f"{part}_*.pb"))]
        for part in ("input", "output")
    }
    with np.errstate(over="ignore"):
        feeds = {spec.name: array for spec, array in zip(described.inputs, arrays["input"], strict=True)}
        answers = session.run(feeds)
    for spec, true in zip(described.outputs, arrays["output"], strict=True):
        mine = answers[spec.name]
        if mine.shape != true.shape or not np.allclose(mine, true, rtol=1e-3, atol=1e-5, equal_nan=True):
            return f"{spec.name} differs"
    return ""


def test_graphs_that_pytorch_exported_answer_what_their_package_says(found: dict[str, str]) -> None:
    assert {name: reason for name, reason in found.items() if reason and name not in BEYOND} == {}
    assert len(found) - len(BEYOND) == 113
