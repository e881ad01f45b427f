"""Optimisation profiles: which shapes an engine takes, and which profile an inference runs in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import BoundsRequired, CompileFailed
from enginehouse.shapes import ShapeRange
from enginehouse.signature import TensorSpec
from workers.backends.tensorrt.profiles import choose, profiles_of, takes

IMAGE = TensorSpec(name="x", dtype="float32", shape=["n", 3, "h", "w"])
MASK = TensorSpec(name="mask", dtype="bool", shape=["n", None])
FIXED = TensorSpec(name="rate", dtype="int64", shape=[1])


def spread(low: tuple[int, ...], usual: tuple[int, ...], high: tuple[int, ...]) -> ShapeRange:
    return ShapeRange(min=low, opt=usual, max=high)


SMALL = {"x": spread((1, 3, 32, 32), (1, 3, 224, 224), (4, 3, 256, 256))}
LARGE = {"x": spread((1, 3, 224, 224), (8, 3, 640, 640), (16, 3, 1280, 1280))}


def test_static_inputs_need_no_profile() -> None:
    assert profiles_of([FIXED], {}, ()) == ()


def test_profiles_are_taken_as_they_are_asked_for() -> None:
    assert profiles_of([IMAGE, FIXED], {}, (SMALL, LARGE)) == (SMALL, LARGE)


def test_given_shapes_alone_are_the_only_ones_that_the_engine_takes() -> None:
    only = spread((1, 3, 48, 320), (1, 3, 48, 320), (1, 3, 48, 320))
    assert profiles_of([IMAGE], {"x": (1, 3, 48, 320)}, ()) == ({"x": only},)


def test_a_profile_that_leaves_an_input_out_is_filled_from_the_shapes() -> None:
    (found,) = profiles_of([IMAGE, MASK], {"mask": (1, 8)}, (SMALL,))
    assert found == {**SMALL, "mask": spread((1, 8), (1, 8), (1, 8))}


@pytest.mark.parametrize(
    ("shapes", "asked", "names"),
    [
        ({}, (), ["x[0] n", "x[2] h", "x[3] w", "mask[0] n", "mask[1]"]),
        ({"x": (1, 3, 8, 8)}, (), ["mask[0] n", "mask[1]"]),
        ({}, (SMALL,), ["mask[0] n", "mask[1]"]),
        ({}, ({**SMALL, "mask": spread((1, 1), (1, 1), (1, 1))}, LARGE), ["mask[0] n", "mask[1]"]),
    ],
)
def test_what_nothing_bounds_is_named(shapes, asked, names) -> None:
    with pytest.raises(BoundsRequired) as caught:
        profiles_of([IMAGE, MASK], shapes, asked)
    assert caught.value.where["dimensions"] == names
    assert names[0] in caught.value.detail


def test_an_inference_runs_in_the_profile_that_is_tuned_nearest() -> None:
    both = (SMALL, LARGE)
    assert choose(both, {"x": (1, 3, 64, 64)}) == 0  # only the small one takes it
    assert choose(both, {"x": (8, 3, 640, 640)}) == 1
    assert choose(both, {"x": (1, 3, 224, 224)}) == 0  # both take it
    assert choose(both, {"x": (4, 3, 256, 256)}) == 0
    assert choose((SMALL, SMALL), {"x": (1, 3, 64, 64)}, active=1) == 1  # as near: no switch
    assert choose((), {"x": (1,)}, active=0) == 0
    assert takes((), {"x": (1,)})


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 3, 2000, 64), (32, 3, 640, 640), (1, 3, 64)])
def test_a_shape_that_no_profile_takes_names_the_ranges(shape: tuple[int, ...]) -> None:
    with pytest.raises(CompileFailed) as caught:
        choose((SMALL, LARGE), {"x": shape})
    assert str(list(shape)) in caught.value.detail
    assert "[1, 3, 32, 32] to [4, 3, 256, 256] or [1, 3, 224, 224] to [16, 3, 1280, 1280]" in caught.value.detail


sizes = st.integers(1, 64)


@given(st.lists(st.tuples(sizes, sizes, sizes).map(sorted), min_size=1, max_size=4), st.integers(1, 64))
def test_the_chosen_profile_takes_the_shape_and_every_usual_shape_finds_one(ranges, size: int) -> None:
    profiles = [{"x": spread((low,), (usual,), (high,))} for low, usual, high in ranges]
    fitting = [index for index, (low, _, high) in enumerate(ranges) if low <= size <= high]
    assert takes(profiles, {"x": (size,)}) == bool(fitting)
    if fitting:
        assert choose(profiles, {"x": (size,)}) in fitting
    else:
        with pytest.raises(CompileFailed):
            choose(profiles, {"x": (size,)})
    for index, (_, usual, _) in enumerate(ranges):
        found = choose(profiles, {"x": (usual,)}, active=index)
        assert ranges[found][1] == usual
