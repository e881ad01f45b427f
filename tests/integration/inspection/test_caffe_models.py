"""Caffe models, good and hostile, through the real child process and through the reader itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from contract.sources.caffe_files import caffemodel, layer, net, random_weights
from contract.sources.caffe_nets import CLASSIC, LENET, TRAINING, VERSION_1, conv, one
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enginehouse.errors import ExternalDataMissing, ModelFormatUnsupported, ModelUnreadable, TooLarge
from enginehouse.signature import ModelSignature, TensorSpec
from protos.caffe import MESSAGES
from scheduler.inspection import caffe_model, inspect_model

Save = Callable[..., list[tuple[str, Path]]]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """An upload as the farm stores it: each file under a name that says nothing."""

    def write(text: str | bytes, weights: bytes | None = None, **others: bytes) -> list[tuple[str, Path]]:
        data = text.encode() if isinstance(text, str) else text
        if weights is None:
            weights = caffemodel(random_weights(data.decode()))
        files = {"net.prototxt": data, "net.caffemodel": weights, **others}
        saved = []
        for number, (path, content) in enumerate(files.items()):
            local = tmp_path / f"blob-{number}"
            local.write_bytes(content)
            saved.append((path, local))
        return saved

    return write


class TestGoodModels:
    def test_lenet(self, save: Save) -> None:
        signature = inspect_model(save(LENET))
        # 2 images: 20 * 24² outputs of 25, 50 * 8² of 20 * 25, 500 of 50 * 4², 10 of 500
        multiply_adds = 2 * (20 * 24**2 * 25 + 50 * 8**2 * 20 * 25 + 500 * 800 + 10 * 500)
        assert signature == ModelSignature(
            format="caffe",
            producer="caffe LeNet",
            inputs=[TensorSpec(name="data", dtype="float32", shape=[2, 1, 28, 28])],
            outputs=[TensorSpec(name="prob", dtype="float32", shape=[2, 10])],
            operators={"Convolution": 2, "InnerProduct": 2, "Pooling": 2, "ReLU": 1, "Softmax": 1},
            parameters=20 * 25 + 20 + 50 * 500 + 50 + 500 * 800 + 500 + 10 * 500 + 10,
            flops=2 * multiply_adds,
        )

    @pytest.mark.parametrize("name", CLASSIC)
    def test_classic_networks(self, name: str, save: Save) -> None:
        weights = random_weights(CLASSIC[name])
        signature = caffe_model.read(save(CLASSIC[name], caffemodel(weights)))
        assert signature.parameters == sum(array.size for arrays in weights.values() for array in arrays)
        assert signature.flops
        assert all(isinstance(dim, int) for spec in signature.outputs for dim in spec.shape)

    def test_only_the_test_phase_counts(self, save: Save) -> None:
        signature = inspect_model(save(TRAINING))
        assert [(one.name, one.shape) for one in signature.inputs] == [("data", [3, 1, 12, 12])]
        assert [(one.name, one.shape) for one in signature.outputs] == [("loss", [3, 5])]
        assert signature.operators == {"Convolution": 1, "InnerProduct": 1, "Power": 1, "Softmax": 1}

    def test_version_1_types_get_their_present_names(self, save: Save) -> None:
        signature = inspect_model(save(VERSION_1))
        assert signature.producer == "caffe AlexNet"
        assert signature.operators["Convolution"] == 2
        assert signature.operators["AbsVal"] == 1

    def test_data_layers_tell_what_they_know(self, save: Save) -> None:
        text = (
            'layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 50 } '
            "transform_param { crop_size: 227 } }" + conv("c", "data", 4, 3)
        )
        signature = caffe_model.read(save(text, caffemodel({"c": [np.zeros((4, 3, 3, 3)), np.zeros(4)]})))
        assert [(one.name, one.shape) for one in signature.inputs] == [("data", [50, None, 227, 227])]
        assert [(one.name, one.shape) for one in signature.outputs] == [("c", [None])]
        assert signature.flops is None
        assert signature.parameters == 4 * 27 + 4

    def test_an_input_without_a_shape(self, save: Save) -> None:
        text = 'layer { name: "in" type: "Input" top: "data" }' + one("TanH")
        (fed,) = caffe_model.read(save(text, caffemodel({"one": []}))).inputs
        assert fed.shape == [None]

    def test_unknown_layers_are_listed_and_end_what_is_known(self, save: Save) -> None:
        text = net(conv("c", "data", 4, 3) + layer("MyOwn", "m", "c") + conv("d", "m", 4, 3) + layer("TanH", "t", "c"))
        weights = {"c": [np.zeros((4, 3, 3, 3)), np.zeros(4)], "d": [np.zeros((4, 4, 3, 3)), np.zeros(4)]}
        signature = inspect_model(save(text, caffemodel(weights)))
        assert signature.operators == {"Convolution": 2, "MyOwn": 1, "TanH": 1}
        assert {one.name: one.shape for one in signature.outputs} == {"d": [None], "t": [1, 4, 11, 9]}
        assert signature.flops is None

    def test_flops_of_groups_steps_and_transposition(self, save: Save) -> None:
        text = net(
            conv("c", "data", 6, 3, "group: 3 stride: 2")
            + layer("Deconvolution", "d", "c", more="convolution_param { num_output: 4 kernel_size: 2 stride: 2 }")
            + layer("InnerProduct", "f", "d", more="inner_product_param { num_output: 5 axis: 2 }"),
            (2, 3, 9, 7),
        )
        convolution = 2 * 6 * 4 * 3 * 9
        transposed = 2 * 6 * 4 * 3 * 4 * 4
        product = 2 * 4 * (8 * 6) * 5
        assert caffe_model.read(save(text)).flops == 2 * (convolution + transposed + product)

    def test_the_weights_of_the_same_stem_are_taken(self, save: Save) -> None:
        files = save(LENET, **{"other.caffemodel": b"\xff"})
        assert inspect_model(files).parameters

    def test_comments_in_any_encoding(self, save: Save) -> None:
        assert caffe_model.read(save("# 网络\n".encode("gbk") + LENET.encode(), caffemodel(random_weights(LENET))))


class TestBadText:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (b"", "no layers"),
            (b"hello { world: 3 }", "no layers"),
            (b"\x00\x01\x02", "not text"),
            (b"layer { name: 'a' ", "cut off"),
            (b"layer } ", "unexpected '}'"),
            (b"layer { name: 'a' type: 'Input' top: 'a' }", "no layer that computes"),
            (b'net: "train_val.prototxt" base_lr: 0.01', "solver"),
            (net(one("Pooling", "pooling_param { pool: AVE kernel: 3 }")), "line 2: Caffe's PoolingParameter"),
            (net(one("Pooling", "pooling_param { pool: MEDIAN kernel_size: 3 }")), "MEDIAN"),
            (net(one("Pooling", "pooling_param { kernel_size: 3 kernel_size: 2 }")), "kernel_size"),
            (net(layer("TanH", "t", "dat")), "layer 't' .*'dat'"),
            (net(one("TanH") + layer("TanH", "u", "data", "one")), "layer 'u' .*anew"),
            (net(one("TanH", "include { phase: TEST } exclude { phase: TRAIN }")), "both include and exclude"),
            (net(one("Convolution", "convolution_param { kernel_size: 3 }")), "layer 'one' .*0 outputs"),
            (net(one("Convolution", "convolution_param { num_output: 4 }")), "kernel_size is given 0 times"),
            (net(conv("c", "data", 4, 3, "stride: 0")), r"stride \[0, 0\]"),
            (net(conv("c", "data", 4, 300)), "does not fit"),
            (net(one("Reshape", "reshape_param { shape { dim: 7 } }")), r"cannot make \[7\]"),
            (net(one("Slice", "slice_param { slice_point: 9 }")), "cannot cut"),
            (net(one("Tile", "tile_param { tiles: 100000000 }")), "its blob would have the shape"),
            (net(one("Flatten", "flatten_param { axis: 9 }")), "no axis 9"),
            ('input: "data" input_dim: 1 input_dim: 3 ' + one("TanH"), "4 for each"),
            ('input: "data" input_shape { dim: 1 dim: -3 }' + one("TanH"), "impossible shape"),
            ("layers { layer { name: 'conv1' type: 'conv' } bottom: 'data' top: 'c' }", "upgrade_net_proto_text"),
            (VERSION_1 + one("TanH"), "both 'layer' and 'layers'"),
            ("layer { " * 60 + "}" * 60, "deeper"),
        ],
    )  # fmt: skip
    def test_it_is_refused_with_the_place(self, text: str | bytes, says: str, save: Save) -> None:
        with pytest.raises(ModelUnreadable, match=says):
            caffe_model.read(save(text, caffemodel({"one": []})))

    def test_through_the_child(self, save: Save) -> None:
        with pytest.raises(ModelUnreadable, match=r"layer 't' .*'dat'") as caught:
            inspect_model(save(net(layer("TanH", "t", "dat")), caffemodel({"t": []})))
        assert caught.value.where == {"layer": "t"}
        assert ".prototxt" in caught.value.hint

    def test_names_that_cannot_be_shown(self, save: Save) -> None:
        with pytest.raises(ModelUnreadable, match="control characters"):
            caffe_model.read(save(net(layer("TanH", "t", "data", "a\\tb")), caffemodel({"t": []})))

    def test_names_that_are_no_text(self, save: Save) -> None:
        text = net(one("TanH")).encode().replace(b'"one"', b'"\xff\xfe"')
        with pytest.raises(ModelUnreadable, match="line 2: the name is not UTF-8"):
            caffe_model.read(save(text, caffemodel({"one": []})))

    def test_size_and_number_are_bounded(self, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(TooLarge):
            caffe_model.read(save(b"#" * (caffe_model.MAX_TEXT + 1), b""))
        with pytest.raises(ModelUnreadable, match="more than 20000 layers"):
            caffe_model.read(save(b"layer{}" * 20_001, caffemodel({"one": []})))
        monkeypatch.setattr(caffe_model, "MAX_WEIGHTS", 10)
        with pytest.raises(TooLarge, match="caffemodel"):
            caffe_model.read(save(LENET))

    @pytest.mark.timeout(60)  # 0.5 s on an idle machine
    def test_a_long_text_is_read_in_time(self, save: Save) -> None:
        layers, bottom = [], "data"
        for index in range(1500):
            layers.append(layer("Power", f"power{index}", bottom, more="power_param { scale: 0.5 shift: 1 }"))
            bottom = f"power{index}"
        caffe_model.read(save(net("".join(layers)), caffemodel({"power0": []})))


class TestBadWeights:
    @pytest.mark.parametrize(
        ("weights", "says"),
        [
            (b"", "no layers"),
            (b"\x08\x07\x42\x05hello", "no layers"),
            (b"\x08\x07\x12\x05hello", "cut off, or is none"),
            (b"\xff" * 100, "cut off, or is none"),
            (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "HDF5"),
            (caffemodel(random_weights(LENET))[:-1000], "cut off"),
            (caffemodel({"conv1": []}), "layer 'conv1' .*no weights"),
            (caffemodel(random_weights(VERSION_1)), "layer 'conv1' .*shape"),
        ],
    )
    def test_it_is_refused(self, weights: bytes, says: str, save: Save) -> None:
        with pytest.raises(ModelUnreadable, match=says):
            caffe_model.read(save(LENET, weights))

    @pytest.mark.parametrize("dims", [[3], [2**62, 4], [-1, -500], [1] * 40])
    def test_a_blob_that_contradicts_itself(self, dims: list[int], save: Save) -> None:
        model = MESSAGES["Weights"].FromString(caffemodel(random_weights(LENET)))
        model.layer[0].blobs[0].shape.dim[:] = dims
        with pytest.raises(ModelUnreadable, match="layer 'conv1': a blob of its weights"):
            caffe_model.read(save(LENET, model.SerializeToString()))

    def test_two_layers_of_one_name(self, save: Save) -> None:
        data = caffemodel(random_weights(LENET))
        with pytest.raises(ModelUnreadable, match="two layers 'conv1'"):
            caffe_model.read(save(LENET, data + data))

    def test_memory_is_bounded_in_the_child(self, save: Save) -> None:
        bomb = b"\xa2\x06\x00" * 12_000_000  # empty layers
        with pytest.raises(ModelUnreadable) as caught:
            inspect_model(save(LENET, bomb), memory_mb=512)
        assert caught.value.where.get("reason") == "memory"


class TestTheUpload:
    def test_two_weights_without_the_stem(self, save: Save) -> None:
        files = save(LENET, **{"other.caffemodel": b"1"})
        with pytest.raises(ExternalDataMissing, match="caffemodel"):
            inspect_model([("deploy.prototxt", files[0][1]), *files[1:]])

    @pytest.mark.parametrize(("index", "name"), [(0, "net.prototxt"), (1, "net.caffemodel")])
    def test_half_a_model(self, index: int, name: str, save: Save) -> None:
        with pytest.raises(ModelFormatUnsupported, match="Caffe") as caught:
            inspect_model([save(LENET)[index]])
        assert ".caffemodel" in caught.value.hint
        assert save(LENET)[index][0] == name


_MUTABLE = re.sub(r"\s+", " ", VERSION_1 + TRAINING)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_text_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Pieces of real networks, cut and put together at random: an answer or our error, nothing else."""
    pieces = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(_MUTABLE)), st.integers(0, 300)).map(lambda at: _MUTABLE[at[0] : sum(at)]),
            max_size=6,
        )
    )
    text, weights = tmp_path / "text", tmp_path / "weights"
    text.write_text(net(one("TanH")) + "".join(pieces))
    weights.write_bytes(caffemodel({"one": []}))
    try:
        signature = caffe_model.read([("net.prototxt", text), ("net.caffemodel", weights)])
    except ModelUnreadable:
        return
    assert signature.inputs


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 4000), st.integers(0, 100))
def test_any_weights_are_read_or_refused(tmp_path: Path, noise: bytes, at: int, cut: int) -> None:
    text, weights = tmp_path / "text", tmp_path / "weights"
    small = net(one("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }"))
    good = caffemodel(random_weights(small))
    text.write_text(small)
    at %= len(good)
    weights.write_bytes(good[:at] + noise + good[at + cut :])
    try:
        signature = caffe_model.read([("net.prototxt", text), ("net.caffemodel", weights)])
    except ModelUnreadable:
        return
    assert signature.parameters == math.prod((3, 3)) + 3
