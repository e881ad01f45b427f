"""Shapes and profiles: what fits, what is derived, what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import InvalidShapes
from enginehouse.shapes import ShapeRange, check_profile, check_shapes, profile_of, unbounded
from enginehouse.signature import TensorSpec

PICTURE = TensorSpec(name="x", dtype="float32", shape=["n", 3, None, None])
FIXED = TensorSpec(name="scale", dtype="float32", shape=[1])
ANY = TensorSpec(name="any", dtype="float32", shape=[None])


def ranges(low: tuple[int, ...], usual: tuple[int, ...], high: tuple[int, ...]) -> ShapeRange:
    return ShapeRange(min=low, opt=usual, max=high)


def test_a_shape_must_fit_and_an_unknown_rank_takes_any():
    check_shapes([PICTURE, ANY], {"x": (2, 3, 8, 9), "any": (4, 5, 6)})
    for wrong in ((2, 3, 8), (2, 4, 8, 9)):
        with pytest.raises(InvalidShapes, match="takes"):
            check_shapes([PICTURE], {"x": wrong})
    with pytest.raises(InvalidShapes, match="no input 'y'; it has x"):
        check_shapes([PICTURE], {"y": (1,)})


def test_a_profile_is_ordered_and_whole():
    good = {"x": ranges((1, 3, 8, 8), (1, 3, 16, 16), (4, 3, 32, 32))}
    check_profile([PICTURE, FIXED], good, "profiles.0")
    with pytest.raises(InvalidShapes, match="min ≤ opt ≤ max"):
        check_profile([PICTURE], {"x": ranges((1, 3, 16, 8), (1, 3, 8, 8), (4, 3, 32, 32))}, "profiles.0")
    with pytest.raises(InvalidShapes, match="takes"):
        check_profile([PICTURE], {"x": ranges((1, 1, 8, 8), (1, 3, 8, 8), (4, 3, 32, 32))}, "profiles.0")
    with pytest.raises(InvalidShapes, match="no range for the dynamic input x"):
        check_profile([PICTURE, FIXED], {}, "profiles.0")


@given(st.lists(st.tuples(*[st.integers(1, 100)] * 3), min_size=1, max_size=20))
def test_a_derived_profile_holds_every_observation(shapes):
    found = profile_of([{"x": shape} for shape in shapes])["x"]
    assert found.opt in shapes
    for shape in [*shapes, found.opt]:
        assert all(low <= size <= high for low, size, high in zip(found.min, shape, found.max, strict=True))
    assert all(
        low in column and high in column
        for low, high, column in zip(found.min, found.max, zip(*shapes, strict=True), strict=True)
    )


def test_the_commonest_shape_is_the_usual_one():
    seen = [{"x": (1, 8)}, {"x": (1, 16)}, {"x": (1, 16)}, {"x": (4, 32)}]
    assert profile_of(seen)["x"] == ranges((1, 8), (1, 16), (4, 32))
    with pytest.raises(InvalidShapes, match="ranks"):
        profile_of([{"x": (1, 8)}, {"x": (1, 8, 8)}])


def test_unbounded_dimensions_are_named():
    assert unbounded([PICTURE, FIXED], {}, []) == ["x[0] n", "x[2]", "x[3]"]
    assert unbounded([PICTURE], {"x": (1, 3, 8, 8)}, []) == []
    assert unbounded([PICTURE], {}, [{"x": ranges((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8))}]) == []
