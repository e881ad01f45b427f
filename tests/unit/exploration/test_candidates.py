"""What is tried of a model, in which order, and what is passed over."""

from __future__ import annotations

from enginehouse.exploration import Candidate, Stage
from enginehouse.formats import Format
from enginehouse.targets import Precision, parse_target
from workers.exploration.candidates import ANCHOR, candidates, for_trial, hopeless
from workers.exploration.options import AutoOptions

OFFERED = ("openvino", "onnxruntime", "litert")


def names(options: AutoOptions, dataset: bool = True, offered: tuple[str, ...] = OFFERED) -> list[str]:
    return [str(one) for one in candidates(options, Format.ONNX, offered, dataset)[0]]


def test_plain_onnx_runtime_is_tried_first_and_everything_that_is_offered_after_it() -> None:
    found = names(AutoOptions())
    assert found[0] == str(ANCHOR)
    assert set(found) == {
        *(f"openvino:{one}" for one in ("fp32", "fp16", "bf16", "int8")),
        *(f"{backend}:{one}" for backend in ("onnxruntime", "litert") for one in ("fp32", "fp16", "int8")),
    }


def test_without_a_dataset_int8_is_passed_over_with_the_reason_or_calibrated_on_made_up_inputs() -> None:
    found, passed_over = candidates(AutoOptions(), Format.ONNX, OFFERED, False)
    assert not [one for one in found if one.precision is Precision.INT8]
    assert {str(one.target) for one in passed_over} == {f"{backend}:int8" for backend in OFFERED}
    assert {one.stage for one in passed_over} == {Stage.SKIPPED}
    assert all("names no dataset" in one.reason for one in passed_over)
    made_up, _ = candidates(AutoOptions(calibration="generated"), Format.ONNX, OFFERED, False)
    told = {one.options.get("calibration") for one in made_up if one.precision is Precision.INT8}
    assert told == {"generated"}


def test_a_dataset_is_preferred_to_made_up_inputs() -> None:
    found, _ = candidates(AutoOptions(calibration="generated"), Format.ONNX, OFFERED, True)
    assert all("calibration" not in one.options for one in found)


def test_the_request_narrows_the_choice() -> None:
    options = AutoOptions(backends=("openvino",), precisions=(Precision.BF16, Precision.FP32))
    found, passed_over = candidates(options, Format.ONNX, OFFERED, True)
    assert [str(one) for one in found] == ["openvino:fp32", "openvino:bf16"]
    assert {one.reason for one in passed_over} == {
        "the request leaves this backend out",
        "the request leaves this precision out",
    }
    found, passed_over = candidates(AutoOptions(candidates=2), Format.ONNX, OFFERED, True)
    assert len(found) == 2
    assert passed_over[-1].reason == "more than 2 candidates"


def test_only_what_the_worker_has_is_tried() -> None:
    assert {one.partition(":")[0] for one in names(AutoOptions(), offered=("litert",))} == {"litert"}


def test_calibration_options_reach_the_backends() -> None:
    found, _ = candidates(AutoOptions(calibration_samples=50), Format.ONNX, OFFERED, True)
    told = {str(one): one.options for one in found}
    assert told["openvino:int8"] == {"calibration_samples": 50}
    assert told["openvino:fp32"] == {}


def timed(name: str, p50_ms: float | None) -> Candidate:
    stage = Stage.FAILED if p50_ms is None else Stage.TIMED
    return Candidate(target=parse_target(name), stage=stage, p50_ms=p50_ms)


def test_a_backend_far_behind_in_fp32_is_not_tried_in_lower_precisions() -> None:
    tried = [timed("onnxruntime:fp32", 1.0), timed("openvino:fp32", 3.9), timed("litert:fp32", 8.0)]
    assert hopeless(parse_target("litert:int8"), tried) == "litert:fp32 is 8.0 times slower than the fastest"
    assert hopeless(parse_target("openvino:int8"), tried) == ""
    assert hopeless(parse_target("tensorrt:fp16"), tried) == ""
    # A precision that the hardware is made for says nothing of how backends compare.
    fast = timed("openvino:bf16", min(one.p50_ms for one in tried if one.p50_ms) / 10)
    assert hopeless(parse_target("openvino:int8"), [*tried, fast]) == ""


def test_a_backend_that_failed_in_fp32_gets_its_other_chances() -> None:
    assert hopeless(parse_target("litert:int8"), [timed("onnxruntime:fp32", 1.0), timed("litert:fp32", None)]) == ""


def test_a_trial_calibrates_with_few_samples_and_nothing_else_changes() -> None:
    target = parse_target("openvino:int8").model_copy(update={"options": {"calibration_samples": 300, "x": 1}})
    assert for_trial(target).options == {"calibration_samples": 32, "x": 1}
    assert for_trial(parse_target("openvino:int8")).options == {"calibration_samples": 32}
    assert for_trial(parse_target("openvino:fp32")) == parse_target("openvino:fp32")
