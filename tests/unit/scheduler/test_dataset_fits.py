"""Whether a dataset fits a model: every way in which it does not is named."""

from __future__ import annotations

import pytest

from enginehouse.errors import DatasetMismatch
from enginehouse.signature import ModelSignature, TensorSpec
from scheduler.datasets import check_fits

Shape = list[int | str | None]


def spec(name: str, shape: Shape, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def model(*inputs: TensorSpec) -> ModelSignature:
    return ModelSignature(format="onnx", inputs=list(inputs), outputs=[])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([1, 3, 8, 8], [1, 3, 8, 8]),
        (["n", 3, None, "w"], [4, 3, 7, 9]),
        (["n", 3, None, "w"], [None, 3, None, 9]),
        ([-1, 0], [4, 3]),
        ([None], [1, 2, 3]),
        ([None], []),
        ([], []),
    ],
)
def test_shapes_that_fit(wanted: Shape, found: Shape) -> None:
    check_fits([spec("x", found)], model(spec("x", wanted)), "d@1")


@pytest.mark.parametrize(
    ("wanted", "found", "says"),
    [
        ([1, 3, 8, 8], [3, 8, 8], r"shape \[3, 8, 8\], the model takes \[1, 3, 8, 8\]"),
        ([1, 3, 8, 8], [1, 3, 8, 9], r"\[1, 3, 8, 9\]"),
        ([1, 3, 8, 8], [1, 3, None, 8], "None stands for sizes that differ"),
        (["n", 2], [None], r"\[None\]"),
        ([], [1], r"the model takes \[\]"),
    ],
)
def test_shapes_that_do_not(wanted: Shape, found: Shape, says: str) -> None:
    with pytest.raises(DatasetMismatch, match=says) as caught:
        check_fits([spec("x", found)], model(spec("x", wanted)), "d@1")
    where = caught.value.where
    assert where == {"input": "x", "found": f"'x' (float32 {found})", "wanted": f"'x' (float32 {wanted})"}


def test_a_type_that_does_not() -> None:
    with pytest.raises(DatasetMismatch, match="'x' are float64, the model takes float32"):
        check_fits([spec("x", [1], "float64")], model(spec("x", [1])), "d@1")


def test_inputs_without_samples_and_samples_without_an_input() -> None:
    with pytest.raises(DatasetMismatch, match=r"d@1 has no samples of 'b' .* it has 'a' .*'c'") as caught:
        check_fits([spec("a", [1]), spec("c", [1])], model(spec("a", [1]), spec("b", [1])), "d@1")
    assert caught.value.where == {"input": "b", "missing": ["b"], "extra": ["c"]}
    many = [spec(f"e{n}", [1]) for n in range(20)]
    with pytest.raises(DatasetMismatch, match=r"has samples of e0, .*, e9 and 10 more, which") as caught:
        check_fits([spec("a", [1]), *many], model(spec("a", [1])), "d@1")
    assert len(caught.value.where["extra"]) == 20
