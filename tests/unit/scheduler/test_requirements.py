"""What a job is refused for before anything is built."""

from __future__ import annotations

import pytest

from enginehouse.capability import Capability
from enginehouse.errors import (
    BaselineNotOffered,
    BoundsRequired,
    DatasetRequired,
    DatasetTooSmall,
    InvalidOption,
    UnknownBackend,
    UnknownPrecision,
    UnsupportedFormat,
)
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.targets import Precision, Target, parse_target
from scheduler.placement import PoolState
from scheduler.requirements import Given, check_baselines, check_target

DYNAMIC = ModelSignature(
    format="onnx", inputs=[TensorSpec(name="x", dtype="float32", shape=["n", 3, "h", 8])], outputs=[]
)


def offer(backend: str = "openvino", *, bounds: bool = False, formats: tuple[str, ...] = ("onnx",)) -> Capability:
    properties = {
        "quantization": {"enum": ["static", "weights", None], "default": None},
        "calibration": {"enum": ["dataset", "generated"], "default": "dataset"},
    }
    return Capability(
        backend=backend,
        toolchain={},
        precisions=[Precision.FP32, Precision.INT8],
        formats=list(formats),
        options_schema={"properties": properties, "additionalProperties": False},
        bounds=bounds,
    )


def target(short: str, **options: object) -> Target:
    return parse_target(short).model_copy(update={"options": options})


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (target("frobnicator:fp32"), UnknownBackend),
        (target("openvino:fp8"), UnknownPrecision),
        (target("openvino:fp32", colour="red"), InvalidOption),
        (target("openvino:int8"), DatasetRequired),
        (target("openvino:int8", quantization="static"), DatasetRequired),
    ],
)
def test_refused(wanted: Target, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_target(wanted, Given(DYNAMIC), [offer()])


@pytest.mark.parametrize(
    ("wanted", "samples"),
    [
        (target("openvino:fp32"), None),
        (target("openvino:int8"), 300),
        (target("openvino:int8", quantization="weights"), None),
        (target("openvino:int8", calibration="generated"), None),
        (target("tensorrt:fp16"), None),  # nobody has announced it: the build waits
    ],
)
def test_taken(wanted: Target, samples: int | None) -> None:
    check_target(wanted, Given(DYNAMIC, samples), [offer()])


def test_one_sample_calibrates_nothing() -> None:
    with pytest.raises(DatasetTooSmall, match="has 1"):
        check_target(target("openvino:int8"), Given(DYNAMIC, 1), [offer()])
    check_target(target("openvino:fp32"), Given(DYNAMIC, 1), [offer()])


def test_bounds_are_asked_for_where_the_backend_needs_them() -> None:
    offers = [offer("tensorrt", bounds=True)]
    with pytest.raises(BoundsRequired, match=r"x\[0\] n, x\[2\] h") as caught:
        check_target(target("tensorrt:fp32"), Given(DYNAMIC), offers)
    assert caught.value.where["dimensions"] == ["x[0] n", "x[2] h"]
    check_target(target("tensorrt:fp32"), Given(DYNAMIC, shapes={"x": (1, 3, 8, 8)}), offers)


def test_a_format_that_one_worker_reads_is_enough() -> None:
    keras = DYNAMIC.model_copy(update={"format": "keras"})
    with pytest.raises(UnsupportedFormat, match="takes onnx, not keras"):
        check_target(target("openvino:fp32"), Given(keras), [offer()])
    check_target(target("openvino:fp32"), Given(keras), [offer(), offer(formats=("onnx", "keras"))])


def pool(name: str, *offers: Capability, tags: tuple[str, ...] = ("cpu",)) -> PoolState:
    return PoolState(name, name, frozenset(tags), offers, "1", 1)


WHOLE = pool("whole", offer(), offer("onnxruntime"))
ALONE = pool("alone", offer(), tags=("cpu", "amx"))
BESIDE = [target("onnxruntime:fp32"), target("openvino:fp32")]


@pytest.mark.parametrize(
    ("wanted", "known"),
    [
        ("openvino:int8", [WHOLE]),
        ("openvino:int8", [ALONE, WHOLE]),
        ("openvino:fp32", [WHOLE]),
        ("openvino:int8@h200", [WHOLE]),  # nobody takes it yet: the build waits
        ("tensorrt:fp16", [WHOLE]),
        ("openvino:int8", []),
    ],
)
def test_baselines_that_a_worker_offers_beside_the_target_are_taken(wanted: str, known: list[PoolState]) -> None:
    check_baselines(target(wanted), BESIDE, Given(DYNAMIC, 300), known)


@pytest.mark.parametrize(
    ("wanted", "baseline", "known", "error", "says"),
    [
        ("openvino:int8", "onnxruntime:fp32", [ALONE], BaselineNotOffered, "offers onnxruntime:fp32"),
        ("openvino:int8@amx", "onnxruntime:fp32", [ALONE, WHOLE], BaselineNotOffered, "offers onnxruntime:fp32"),
        ("openvino:int8", "tensorrt:fp16", [WHOLE], BaselineNotOffered, "offers tensorrt:fp16"),
        ("openvino:int8", "frobnicator:fp32", [WHOLE], UnknownBackend, "frobnicator"),
        ("openvino:int8", "onnxruntime:fp16", [WHOLE], UnknownPrecision, "fp32, int8"),
        ("openvino:fp32", "onnxruntime:int8", [WHOLE], DatasetRequired, "onnxruntime:int8"),
    ],
)
def test_baselines_that_nobody_can_build_beside_the_target_are_refused(
    wanted: str, baseline: str, known: list[PoolState], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        check_baselines(target(wanted), [target(baseline)], Given(DYNAMIC), known)


def test_baselines_that_no_worker_offers_together_are_refused() -> None:
    half = pool("half", offer(), offer("tensorrt"))
    beside = [target("onnxruntime:fp32"), target("tensorrt:fp32")]
    with pytest.raises(BaselineNotOffered, match="all of onnxruntime:fp32, tensorrt:fp32"):
        check_baselines(target("openvino:int8"), beside, Given(DYNAMIC), [half, WHOLE])


def test_a_baselines_options_are_those_of_its_backend() -> None:
    with pytest.raises(InvalidOption, match="colour"):
        check_baselines(target("openvino:int8"), [target("openvino:fp32", colour="red")], Given(DYNAMIC), [WHOLE])
