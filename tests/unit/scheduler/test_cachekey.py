"""Cache keys: 0 false hits, and the harmless differences do hit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        _key(_recipe(requires=("cpu", "cpu.cores>=8", "openvino>=2026.4"))),
        _key(capability=_capability(toolchain={"onnx": "1.23.2", "openvino": "2026.4.1"})),
    ],
)
def test_harmless_differences_hit(same):
    assert same == _key()


def test_the_request_key_keeps_the_requirement_because_the_pool_is_not_known_yet():
    assert request_key(_recipe(requires=("h200",))) != request_key(_recipe())
    assert request_key(_recipe(requires=("cpu.cores>=8",))) != request_key(_recipe())
    assert request_key(_recipe(requires=("cpu.cores >= 8.0", "a"))) == request_key(
        _recipe(requires=("a", "cpu.cores>=8"))
    )
    assert request_key(_recipe(shapes={"a": (1,), "b": (2,)})) == request_key(_recipe(shapes={"b": (2,), "a": (1,)}))


ORT = _capability(backend="onnxruntime", toolchain={"onnxruntime": "1.31.1"}, options_schema={})
FP32, PLAIN = Target(backend="openvino", precision="fp32"), Target(backend="onnxruntime", precision="fp32")


def _beside(*baselines, capabilities=(ORT,), **changes):
    recipe = _recipe(baselines=baselines, **changes)
    return cache_key(recipe, _capability(), "cpu-1", "1", capabilities)


def test_without_baselines_the_keys_are_those_from_before_there_were_any():
    """These were computed from recipes that had no such field."""
    assert request_key(_recipe()) == "65eec09cd394814357dbba82e9d0f67e212071ddce6b088e955dca2f5ba90105"
    assert _key() == _beside() == "021f271579a2a6115212dc4907caccbcfa4b2c141a1cb55f946b8ffa9451e132"


def test_what_a_build_is_measured_against_is_in_both_keys():
    newer = ORT.model_copy(update={"toolchain": {"onnxruntime": "1.32.0"}})
    optioned = FP32.model_copy(update={"options": {"threads": 1}})
    keys = [
        _beside(),
        _beside(FP32),
        _beside(PLAIN),
        _beside(FP32, PLAIN),
        _beside(optioned),
        _beside(PLAIN, capabilities=[newer]),
    ]
    assert len(set(keys)) == len(keys)
    asked = [request_key(_recipe(baselines=one)) for one in [(), (FP32,), (PLAIN,), (FP32, PLAIN), (optioned,)]]
    assert len(set(asked)) == len(asked)


def test_harmless_differences_of_baselines_hit():
    said = FP32.model_copy(update={"options": {"threads": 0, "hint": "latency"}})
    newer = ORT.model_copy(update={"toolchain": {"onnxruntime": "1.32.0"}})
    assert _beside(FP32, PLAIN) == _beside(PLAIN, FP32)
    assert _beside(said) == _beside(FP32) == _beside(FP32, capabilities=[newer])
    assert request_key(_recipe(baselines=(FP32, PLAIN))) == request_key(_recipe(baselines=(PLAIN, FP32)))


def test_a_target_is_no_baseline_of_its_own():
    same = Target(backend="openvino", precision="fp16")
    assert _beside(same, requires=("cpu",)) == _beside()
    assert request_key(_recipe(baselines=(same, FP32))) == request_key(_recipe(baselines=(FP32,)))


_OPTIONS = st.dictionaries(
    st.sampled_from(["hint", "threads"]), st.sampled_from(["latency", "throughput", 0, 1, "0", False, None]), max_size=2
)
_SHAPE = st.lists(st.integers(1, 3), max_size=2).map(tuple)
_BUILDS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["a" * 64, "b" * 64]),
        "dataset": st.sampled_from([None, "a" * 64, "b" * 64]),
        "precision": st.sampled_from([Precision.FP16, Precision.INT8]),
        "options": _OPTIONS,
        "seed": st.integers(0, 1),
        "verify": st.booleans(),
        "shapes": st.dictionaries(st.sampled_from(["x", "y", "x,y"]), _SHAPE, max_size=2),
    }
)
_PLACES = st.fixed_dictionaries(
    {
        "openvino": st.sampled_from(["2026.4.1", "2026.4.10", "2026.4"]),
        "onnx": st.sampled_from(["1.23.2", "1.23"]),
        "hardware_class": st.sampled_from(["cpu-1", "cpu-11"]),
        "pipeline": st.sampled_from(["1", "11", "1.1"]),
    }
)


def _built(build, place):
    toolchain = {"openvino": place["openvino"], "onnx": place["onnx"]}
    return _key(_recipe(**build), _capability(toolchain=toolchain), place["hardware_class"], place["pipeline"])


def _meaning(build, place):
    """What of it may matter, told apart to the type: 0, '0' and False are three options."""
    options = {"hint": "latency", "threads": 0, **build["options"]}
    whole = {**build, **place, "options": {name: repr(value) for name, value in options.items()}}
    return {name: sorted(value.items()) if isinstance(value, dict) else value for name, value in whole.items()}


@given(_BUILDS, _PLACES, _BUILDS, _PLACES, st.booleans())
def test_two_builds_share_a_key_exactly_when_they_mean_the_same(build, place, other, elsewhere, alike):
    if alike:  # two drawn at random hardly ever are
        turned = dict(reversed(build["options"].items()))
        other, elsewhere = {**build, "options": {**turned, "threads": turned.get("threads", 0)}}, place
    assert (_built(build, place) == _built(other, elsewhere)) == (_meaning(build, place) == _meaning(other, elsewhere))
