from __future__ import annotations

from typing import Any

import click
import pytest

from enginehouse.cli import parsing
from enginehouse.gates import Gates

NAMES = list(Gates.model_fields)


def test_gates() -> None:
    assert parsing.gates(["min_speedup=1.1", "max_bytes=1e6"], NAMES) == {"min_speedup": 1.1, "max_bytes": 1_000_000}
    assert Gates(**parsing.gates(["max_bytes=1e6", "min_cosine=-0.5"], NAMES)).max_bytes == 1_000_000


def test_gates_of_one_target_and_of_one_metric() -> None:
    given = ["min_cosine=0.9", "openvino:int8.min_speedup=1.2", "tensorrt:fp16@h200.a.max_p50_ms=3"]
    assert parsing.all_gates(given, NAMES) == {
        "gates": {"min_cosine": 0.9},
        "target_gates": {"openvino:int8": {"min_speedup": 1.2}, "tensorrt:fp16@h200.a": {"max_p50_ms": 3}},
    }
    assert parsing.gates(["max_metric_loss=top1:0.01", "max_metric_loss=f:1:0.5"], NAMES) == {
        "max_metric_loss": {"top1": 0.01, "f:1": 0.5}
    }
    for twice in (["max_metric_loss=a:1", "max_metric_loss=a:2"], ["max_metric_loss=a:1", "max_metric_loss=1"]):
        with pytest.raises(click.BadParameter, match="twice"):
            parsing.gates(twice, NAMES)
    with pytest.raises(click.BadParameter, match="NAME=VALUE"):
        parsing.all_gates(["openvino:int8.speed=1"], NAMES)


def test_gates_on_the_speed_up_over_several_baselines() -> None:
    given = ["min_speedup=1.5", "min_speedup=openvino:fp32:1.2", "min_speedup=onnxruntime:fp32:1"]
    found = parsing.gates(given, NAMES)
    assert found == {"min_speedup": {"source": 1.5, "openvino:fp32": 1.2, "onnxruntime:fp32": 1}}
    assert Gates(**found).min_speedup == found["min_speedup"]
    assert parsing.gates(given[1:2], NAMES) == {"min_speedup": {"openvino:fp32": 1.2}}
    assert parsing.gates(["min_speedup=source:1.5"], NAMES) == {"min_speedup": 1.5}
    assert parsing.all_gates(["tensorrt:int8@h200.min_speedup=tensorrt:fp16:1.3"], NAMES) == {
        "gates": {},
        "target_gates": {"tensorrt:int8@h200": {"min_speedup": {"tensorrt:fp16": 1.3}}},
    }
    for twice in (["min_speedup=1", "min_speedup=source:2"], ["min_speedup=a:fp32:1", "min_speedup=a:fp32:2"]):
        with pytest.raises(click.BadParameter, match="twice"):
            parsing.gates(twice, NAMES)


@pytest.mark.parametrize("text", ["min_speedup", "speedup=1", "min_speedup=fast", "=1", "min_speedup="])
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parsing.gates([text], NAMES)


def test_a_gate_of_a_target_with_constraints() -> None:
    target = "tensorrt:fp16@cpu.cores>=8+tensorrt~=11.4"
    assert parsing.all_gates([f"{target}.min_speedup=1.2"], NAMES)["target_gates"] == {target: {"min_speedup": 1.2}}


def test_a_gate_given_twice_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="twice"):
        parsing.gates(["min_speedup=1", "min_speedup=2"], NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1,3,320,320", {"x": (1, 3, 320, 320)}),
        ("x= 1, 3", {"x": (1, 3)}),
        ("in:0=7", {"in:0": (7,)}),
        ("a=b=2,2", {"a=b": (2, 2)}),
        ("scalar=", {"scalar": ()}),
    ],
)
def test_shapes(text: str, expected: dict[str, Any]) -> None:
    assert parsing.shapes([text]) == expected


@pytest.mark.parametrize("text", ["x", "=1", "x=0", "x=-1", "x=1.5", "x=a", "x=1,", "x=٣", "x=99999999999"])
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parsing.shapes([text])


def test_options_for_one_and_for_all() -> None:
    given = ["threads=4", "openvino.hint=latency", "onnxruntime.level=all", "openvino.threads=8"]
    assert parsing.options(given, ["openvino", "onnxruntime"]) == {
        "openvino": {"threads": 8, "hint": "latency"},
        "onnxruntime": {"threads": 4, "level": "all"},
    }


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("4", 4),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('"4"', "4"),
        ("a=b", "a=b"),
        ("", ""),
        ("NaN", "NaN"),
        ("fast", "fast"),
    ],
)
def test_an_options_value_is_json_where_it_is(raw: str, value: Any) -> None:
    assert parsing.options([f"k={raw}"], ["b"])["b"]["k"] == value


@pytest.mark.parametrize("text", ["key", "=1", "tensorrt.key=1", "openvino.=1"])
def test_what_is_no_option(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parsing.options([text], ["openvino"])


def test_times_and_memory() -> None:
    assert [parsing.seconds(text) for text in ("90", "90s", "10m", "1.5h", "2 min")] == [90, 90, 600, 5400, 120]
    assert [parsing.mebibytes(text) for text in ("512", "4G", "4GiB", "100mb")] == [512, 4096, 4096, 100]
    for text in ("", "h", "-1", "0", "1d", "1e3", "nan"):
        with pytest.raises(click.BadParameter):
            parsing.seconds(text)
    with pytest.raises(click.BadParameter):
        parsing.mebibytes("4T")
