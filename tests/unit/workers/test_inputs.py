"""Shapes and values that a model is fed with."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from contract.backends_models import GOOD, embedding, model, recurrent, signature, value, weights, write
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from enginehouse.errors import ReferenceFailed, RequestError
from enginehouse.signature import TensorSpec
from workers.pipeline.consumers import Use, uses
from workers.pipeline.inputs import generate
from workers.pipeline.shapes import Kind, candidates, unknowns


def spec(name: str, *shape: int | str | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=list(shape))


@pytest.mark.parametrize(
    ("inputs", "first"),
    [
        ([spec("x", 1, 3, 8, 8)], {"x": (1, 3, 8, 8)}),
        ([spec("x", "n", 3, "h", "w")], {"x": (1, 3, 224, 224)}),
        ([spec("x", "n", "h", "w", 3)], {"x": (1, 224, 224, 3)}),
        ([spec("x", "n", 3, 48, "w")], {"x": (1, 3, 48, 320)}),
        ([spec("x", -1, 3, "?", "?")], {"x": (1, 3, 224, 224)}),
        (
            [spec("ids", "b", "s", dtype="int64"), spec("mask", "b", "s", dtype="int64")],
            {"ids": (1, 16), "mask": (1, 16)},
        ),
        (
            [spec("input", None, None), spec("state", 2, None, 128), spec("sr", dtype="int64")],
            {"input": (1, 16), "state": (2, 1, 128), "sr": ()},
        ),
        ([spec("lengths", "batch", dtype="int64")], {"lengths": (1,)}),
    ],
)
def test_the_first_guess(inputs: list[TensorSpec], first: dict[str, tuple[int, ...]]) -> None:
    assert next(candidates(inputs, {})) == first


def test_a_batch_of_two() -> None:
    assert next(candidates([spec("x", "n", 3, "h", "w")], {}, batch=2)) == {"x": (2, 3, 224, 224)}


def test_equal_symbols_get_equal_sizes_and_nothing_is_tried_twice() -> None:
    tried = list(candidates([spec("a", "n", "s"), spec("b", "s", "n")], {}))
    assert len(tried) > 5
    assert all(one["a"] == one["b"][::-1] for one in tried)
    assert len({str(one) for one in tried}) == len(tried)


@given(st.lists(st.lists(st.sampled_from([1, 3, 48, "n", "s", "h", None, "?"]), max_size=5), min_size=1, max_size=4))
def test_every_candidate_fits_the_signature(shapes: list[list[int | str | None]]) -> None:
    inputs = [spec(f"x{index}", *shape) for index, shape in enumerate(shapes)]
    for found in islice(candidates(inputs, {}), 5):
        symbols: dict[str, int] = {}
        for one in inputs:
            assert len(found[one.name]) == len(one.shape)
            for dim, size in zip(one.shape, found[one.name], strict=True):
                assert size >= 1
                if isinstance(dim, int):
                    assert size == dim
                elif dim not in (None, "?"):
                    assert symbols.setdefault(str(dim), size) == size


def test_given_shapes_win() -> None:
    inputs = [spec("a", "n", "s"), spec("b", "n", 4)]
    assert list(candidates(inputs, {"a": (5, 9)})) == [{"a": (5, 9), "b": (5, 4)}]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"z": (1, 2)}, "no input 'z'"),
        ({"b": (1, 5)}, "does not fit"),
        ({"a": (1,)}, "does not fit"),
        ({"a": (1, 2), "b": (3, 4)}, "two sizes"),
    ],
)
def test_given_shapes_that_cannot_be(given: dict[str, tuple[int, ...]], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        list(candidates([spec("a", "n", "s"), spec("b", "n", 4)], given))


def test_what_a_dimension_seems_to_count() -> None:
    kinds = unknowns([spec("x", "n", 3, "h", "w"), spec("h0", 2, "k", 8), spec("t", 1, "len")])
    assert kinds == {
        "n": Kind.BATCH, "h": Kind.PLANE, "w": Kind.PLANE, "len": Kind.LENGTH, "k": Kind.BATCH,
    }  # fmt: skip


def test_uses_are_read_from_the_graph() -> None:
    assert uses(embedding())["ids"] == Use(below=37)
    assert uses(embedding())["mask"] == Use()
    assert uses(recurrent())["sr"] == Use(equals=(16000,))


def test_an_index_is_followed_to_its_one_hot() -> None:
    graph = model(
        [
            helper.make_node("Cast", ["ids"], ["wide"], to=TensorProto.INT64),
            helper.make_node("Unsqueeze", ["wide", "axis"], ["column"]),
            helper.make_node("Equal", ["column", "range"], ["hot"]),
            helper.make_node("Cast", ["hot"], ["y"], to=TensorProto.FLOAT),
        ],
        [value("ids", TensorProto.INT32, ["n", 5])],
        [value("y", TensorProto.FLOAT, ["n", 5, 257])],
        {"axis": np.array([2]), "range": np.arange(257)},
    )
    assert uses(graph)["ids"].below == 257


def test_values_are_well_formed_and_seeded() -> None:
    inputs = [
        spec("picture", 1, 3, 4, 4),
        spec("signal", 1, 9),
        spec("state", 2, 1, 4),
        spec("attention_mask", 1, 7, dtype="int64"),
        spec("flag", 3, dtype="bool"),
        spec("ids", 1, 7, dtype="int32"),
        spec("position_ids", 1, 7, dtype="int64"),
        spec("lengths", 1, dtype="int64"),
        spec("sr", dtype="int64"),
        spec("half", 1, 2, dtype="float16"),
        spec("size", 2, dtype="int64"),
        spec("bytes", 1, 5, dtype="uint8"),
    ]
    shapes = {one.name: tuple(int(dim or 1) for dim in one.shape if isinstance(dim, int)) for one in inputs}
    known = {"ids": Use(below=3), "size": Use(shape_like=True)}
    made = generate(inputs, shapes, known, seed=1, sample=0)
    for one in inputs:
        assert made[one.name].shape == shapes[one.name], one.name
        assert made[one.name].dtype == np.dtype(one.dtype), one.name
    assert 0 <= made["picture"].min() <= made["picture"].max() <= 1
    assert made["signal"].min() < 0 < made["signal"].max()
    assert not made["state"].any()
    assert made["attention_mask"].all()
    assert made["ids"].max() < 3
    assert made["position_ids"].tolist() == [list(range(7))]
    assert made["lengths"].tolist() == [9]
    assert made["sr"] == 16000
    assert made["size"].tolist() == [1, 1]
    again = generate(inputs, shapes, known, seed=1, sample=0)
    other = generate(inputs, shapes, known, seed=1, sample=1)
    assert all(np.array_equal(made[name], again[name]) for name in made)
    assert not np.array_equal(made["picture"], other["picture"])


def test_text_cannot_be_made_up() -> None:
    with pytest.raises(ReferenceFailed, match="words"):
        generate([spec("words", 1, dtype="object")], {"words": (1,)}, {}, 0, 0)


@pytest.mark.parametrize("name", GOOD)
def test_the_generated_models_have_inputs_that_can_be_made(name: str, tmp_path: Path) -> None:
    made = GOOD[name]()
    found = signature(write(made, tmp_path))
    shapes = next(candidates(found.inputs, {}))
    assert set(generate(found.inputs, shapes, uses(made), 0, 0)) == {one.name for one in found.inputs}
    assert weights(2).dtype == np.float32
