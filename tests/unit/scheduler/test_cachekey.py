"""Cache keys: 0 false hits, and the harmless differences do hit."""

from __future__ import annotations

import itertools

import pytest

from enginehouse.capability import Capability
from enginehouse.request import Recipe
from enginehouse.targets import Precision, Target
from scheduler.cachekey import cache_key, request_key

SCHEMA = {"properties": {"hint": {"default": "latency"}, "threads": {"default": 0}}}


def _capability(**changes):
    whole = {
        "backend": "openvino",
        "toolchain": {"openvino": "2026.4.1", "onnx": "1.23.2"},
        "precisions": [Precision.FP16],
        "formats": ["onnx"],
        "options_schema": SCHEMA,
    }
    return Capability(**{**whole, **changes})


def _recipe(**changes):
    target = Target(
        backend=changes.pop("backend", "openvino"),
        precision=changes.pop("precision", Precision.FP16),
        requires=changes.pop("requires", ()),
        options=changes.pop("options", {}),
    )
    return Recipe(**{"model": "a" * 64, "target": target, **changes})


def _key(recipe=None, capability=None, hardware_class="cpu-1", pipeline="1"):
    return cache_key(recipe or _recipe(), capability or _capability(), hardware_class, pipeline)


DIFFERENT = {
    "as it is": _key(),
    "other weights": _key(_recipe(model="b" * 64)),
    "with a dataset": _key(_recipe(dataset="c" * 64)),
    "with another dataset": _key(_recipe(dataset="d" * 64)),
    "other precision": _key(_recipe(precision=Precision.FP32)),
    "other option": _key(_recipe(options={"hint": "throughput"})),
    "other threads": _key(_recipe(options={"threads": 1})),
    "unverified": _key(_recipe(verify=False)),
    "unmeasured": _key(_recipe(benchmark=False)),
    "other seed": _key(_recipe(seed=1)),
    "other shapes": _key(_recipe(shapes={"x": (1, 3)})),
    "more shapes": _key(_recipe(shapes={"x": (1, 3), "y": (1,)})),
    "toolchain patch": _key(capability=_capability(toolchain={"openvino": "2026.4.2", "onnx": "1.23.2"})),
    "helper's patch": _key(capability=_capability(toolchain={"openvino": "2026.4.1", "onnx": "1.23.3"})),
    "hardware class": _key(hardware_class="cpu-2"),
    "pipeline": _key(pipeline="2"),
}


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(DIFFERENT, 2)))
def test_what_may_change_the_bytes_changes_the_key(one, other):
    assert DIFFERENT[one] != DIFFERENT[other]


@pytest.mark.parametrize(
    "same",
    [
        _key(_recipe(options={"hint": "latency"})),
        _key(_recipe(options={"threads": 0, "hint": "latency"})),
        _key(_recipe(options={"hint": "latency", "threads": 0})),
        _key(_recipe(requires=("cpu",))),
        _key(capability=_capability(toolchain={"onnx": "1.23.2", "openvino": "2026.4.1"})),
    ],
)
def test_harmless_differences_hit(same):
    assert same == _key()


def test_the_request_key_keeps_the_requirement_because_the_pool_is_not_known_yet():
    assert request_key(_recipe(requires=("h200",))) != request_key(_recipe())
    assert request_key(_recipe(shapes={"a": (1,), "b": (2,)})) == request_key(_recipe(shapes={"b": (2,), "a": (1,)}))
