"""What of a network's text takes part in inference, and what its values are called."""

from __future__ import annotations

import pytest

from protos.caffe import CaffeError, Net, infer, read_net, weights_beside


def read(text: str) -> Net:
    return read_net(text.encode())


def power(name: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "Power" bottom: "{bottom}" top: "{top}" {more} }}\n'


INPUT = 'input: "data" input_shape { dim: 1 dim: 4 }\n'


@pytest.mark.parametrize(
    ("rules", "state", "included"),
    [
        ("", "", True),
        ("include { phase: TEST }", "", True),
        ("include { phase: TRAIN }", "", False),
        ("include { phase: TRAIN } include { phase: TEST }", "", True),
        ("exclude { phase: TEST }", "", False),
        ("exclude { phase: TRAIN }", "", True),
        ("include { min_level: 1 }", "", False),
        ("include { min_level: 1 }", "state { level: 2 }", True),
        ("include { max_level: 1 }", "state { level: 2 }", False),
        ("exclude { max_level: 1 }", "", False),
        ("include { stage: 'deploy' }", "", False),
        ("include { stage: 'deploy' }", "state { stage: 'deploy' }", True),
        ("include { stage: 'deploy' stage: 'other' }", "state { stage: 'deploy' }", False),
        ("include { not_stage: 'deploy' }", "state { stage: 'deploy' }", False),
        ("include { phase: TEST not_stage: 'deploy' }", "state { phase: TRAIN }", True),
    ],
)
def test_rules(rules: str, state: str, included: bool) -> None:
    net = read(state + INPUT + power("always", "data", "x") + power("maybe", "x", "y", rules))
    assert [layer.name for layer in net.layers] == (["always", "maybe"] if included else ["always"])
    assert net.outputs == (["y"] if included else ["x"])
    assert net.as_written is included


def test_every_write_makes_a_value_and_the_last_has_the_blobs_name() -> None:
    net = read(INPUT + power("a", "data", "x") + power("b", "x", "y") + power("c", "x", "x") + power("d", "x", "x"))
    assert [(layer.bottoms, layer.tops) for layer in net.layers] == [
        (("data",), ("x/1",)),
        (("x/1",), ("y",)),
        (("x/1",), ("x/2",)),
        (("x/2",), ("x",)),
    ]
    assert net.outputs == ["y", "x"]


def test_a_value_never_takes_another_blobs_name() -> None:
    net = read(INPUT + power("a", "data", "x") + power("b", "x", "x/1") + power("c", "x", "x"))
    made = [value for layer in net.layers for value in layer.tops]
    assert len(set(made)) == 3
    assert net.outputs == ["x/1", "x"]


def test_inputs_that_only_losses_take_are_none() -> None:
    net = read(
        INPUT
        + 'layer { name: "labels" type: "Input" top: "label" }'
        + power("a", "data", "x")
        + 'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "label" top: "loss" }'
    )
    assert list(net.inputs) == ["data"]
    assert net.outputs == ["x"]


def test_one_shape_does_for_every_top_of_an_input_layer() -> None:
    text = 'layer { type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } } }'
    net = read(text + 'layer { type: "Eltwise" bottom: "a" bottom: "b" top: "c" }')
    assert net.inputs == {"a": (2, 3), "b": (2, 3)}
    assert infer(net, net.inputs)["c"] == (2, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ('type: "MemoryData" memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }', (2, 3, 4, 5)),
        ('type: "DummyData" dummy_data_param { shape { dim: 7 dim: 8 } data_filler { type: "constant" } }', (7, 8)),
        ('type: "DummyData" dummy_data_param { num: 1 channels: 2 height: 3 width: 4 }', (1, 2, 3, 4)),
        ('type: "ImageData" image_data_param { batch_size: 4 new_height: 9 new_width: 8 }', (4, None, 9, 8)),
        ('type: "Data" data_param { batch_size: 4 crop_size: 6 source: "x" }', (4, None, 6, 6)),
        ('type: "HDF5Data" hdf5_data_param { batch_size: 4 source: "x" }', ()),
    ],
)
def test_data_layers_become_inputs(layer: str, shape: tuple[int | None, ...]) -> None:
    net = read(f'layer {{ name: "d" top: "data" {layer} }}' + power("a", "data", "x"))
    assert net.inputs == {"data": shape}
    assert not net.as_written


def test_lines_are_those_of_the_file() -> None:
    net = read("# a comment\n" + INPUT + "\n" + power("a", "data", "x") + "\n\n" + power("b", "x", "y"))
    assert [layer.line for layer in net.layers] == [4, 7]
    assert net.layers[1].where == "layer 'b' (Power, line 7 of the .prototxt)"


def test_a_depthwise_convolution_has_as_many_groups_as_outputs() -> None:
    net = read(
        'input: "data" input_shape { dim: 1 dim: 4 dim: 5 dim: 5 }'
        'layer { name: "c" type: "ConvolutionDepthwise" bottom: "data" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 } }"
    )
    assert net.layers[0].param.convolution_param.group == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (INPUT, "no layers"),
        (INPUT + 'layer { name: "l" type: "Accuracy" bottom: "data" }', "no layer that computes"),
        (INPUT + INPUT.replace("input_shape { dim: 1 dim: 4 }", "") + power("a", "data", "x"), "2 blobs and 1 shapes"),
        (INPUT + power("a", "data", "data2") + power("b", "data", "data2"), "makes the blob 'data2' anew"),
    ],
)
def test_networks_that_caffe_would_not_load(text: str, says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        read(text)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        (["x/net.caffemodel", "other.caffemodel"], "x/net.caffemodel"),
        (["weights.caffemodel", "labels.txt"], "weights.caffemodel"),
        (["a.caffemodel", "b.caffemodel"], None),
        ([], None),
    ],
)
def test_which_weights_belong_to_a_text(others: list[str], chosen: str | None) -> None:
    assert weights_beside("net.prototxt", others) == chosen
