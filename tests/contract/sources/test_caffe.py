"""Caffe networks become ONNX that computes what OpenCV, which reads the same two files, computes."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from contract.backends_models import HARDWARE
from contract.sources.caffe_files import caffemodel, layer, net, random_weights, signature, write
from contract.sources.caffe_nets import CLASSIC, LAYERS, LENET, VERSION_1, conv, one, pool, relu

from enginehouse.errors import ConversionFailed, ReferenceFailed, UnsupportedOperator
from enginehouse.formats import Format
from enginehouse.request import Recipe
from enginehouse.targets import parse_target
from protos.caffe import MESSAGES
from workers.backends.base import Setting
from workers.backends.onnxruntime.run import OnnxRuntimeSession
from workers.backends.options import Options
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline import Order, run
from workers.sources import get, known

CAFFE = get(Format.CAFFE)
SHAPE = (2, 3, 13, 11)


def piece(source: Source, work: Path, **more: Any) -> Workpiece:
    return Workpiece(source, parse_target("onnxruntime:fp32"), Options(), work, None, **more)  # type: ignore[arg-type]


def fed(source: Source, seed: int = 1) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {one.name: generator.standard_normal(one.shape).astype(np.float32) for one in source.signature.inputs}


def both(source: Source, work: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What OpenCV makes of the source, and ONNX Runtime of the ONNX made of it."""
    work.mkdir(exist_ok=True)
    made = CAFFE.to_onnx(piece(source, work))
    onnx.checker.check_model(made.path, full_check=True)
    feeds = fed(source)
    reference = CAFFE.reference(source, Setting(threads=1), work).run(feeds)
    return reference, OnnxRuntimeSession(made.path, Setting(threads=1)).run(feeds)


def agree(source: Source, work: Path) -> dict[str, np.ndarray]:
    reference, mine = both(source, work)
    told = {one.name: one for one in source.signature.outputs}
    assert list(reference) == list(mine) == list(told)
    for name, array in mine.items():
        assert list(array.shape) == list(reference[name].shape) == told[name].shape, name
        assert str(array.dtype) == told[name].dtype == "float32"
        np.testing.assert_allclose(array, reference[name], rtol=1e-4, atol=1e-4, err_msg=name)
    return mine


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str, tmp_path: Path) -> None:
    text = net(LAYERS[name], SHAPE)
    if name == "batch-norm-with-scale-and-bias":  # the fork that has these writes 1 for the factor
        weights = random_weights(text)
        weights["one"][2][:] = 1
        agree(write(tmp_path / "in", text, caffemodel(weights)), tmp_path / "work")
        return
    agree(write(tmp_path / "in", text), tmp_path / "work")


@pytest.mark.parametrize("name", CLASSIC)
def test_a_classic_network(name: str, tmp_path: Path) -> None:
    mine = agree(write(tmp_path / "in", CLASSIC[name]), tmp_path / "work")
    spread = max(float(array.std()) for array in mine.values())
    assert spread > 1e-3, "outputs that are all alike would agree with anything"


@pytest.mark.parametrize(
    ("name", "layers", "shape"),
    [
        ("line", one("Convolution", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 }"), (2, 3, 13)),
        ("space", conv("c", "data", 6, 3, "pad: 1 stride: 2"), (1, 3, 7, 8, 9)),
        (
            "rows",
            layer("InnerProduct", "f", "data", more="inner_product_param { num_output: 5 }")
            + layer("BatchNorm", "b", "f", "f")
            + layer("Scale", "s", "f", "f", "scale_param { bias_term: true }")
            + layer("PReLU", "p", "f", "f"),
            (2, 3, 4, 5),
        ),
        ("mean-of-rows", layer("Reduction", "r", "data", more="reduction_param { axis: 1 }"), (3, 8)),
    ],
)
def test_other_ranks(name: str, layers: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    agree(write(tmp_path / "in", net(layers, shape)), tmp_path / "work")


class TestNames:
    def test_the_order_of_outputs_is_the_files(self, tmp_path: Path) -> None:
        text = net(layer("Sigmoid", "zebra", "data") + layer("TanH", "ape", "data"), SHAPE)
        assert list(agree(write(tmp_path / "in", text), tmp_path / "work")) == ["zebra", "ape"]

    def test_a_blob_is_named_as_its_last_value(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", net(LAYERS["in-place-at-the-end"], SHAPE))
        (array,) = agree(source, tmp_path / "work").values()
        assert array.min() == 0  # the rectified one
        made = onnx.load(CAFFE.to_onnx(piece(source, tmp_path / "again")).path)
        assert [node.name for node in made.graph.node] == ["c", "r"]
        assert made.graph.output[0].name == "c"

    def test_nodes_are_the_layers_of_the_test_phase(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", CLASSIC["training"])
        assert CAFFE.nodes(source, tmp_path) == ["conv1", "sharpen", "fc", "loss"]

    def test_softmax_with_loss_is_named_as_its_second_top(self, tmp_path: Path) -> None:
        text = CLASSIC["training"].replace('top: "loss"', 'top: "loss" top: "prob"')
        (array,) = agree(write(tmp_path / "in", text), tmp_path / "work").values()
        np.testing.assert_allclose(array.sum(1), 1, rtol=1e-5)
        assert [one.name for one in signature(text).outputs] == ["prob"]


class TestWeights:
    def test_legacy_blobs_and_version_1_weights(self, tmp_path: Path) -> None:
        weights = random_weights(VERSION_1)
        new = agree(write(tmp_path / "a", VERSION_1, caffemodel(weights)), tmp_path / "work-a")
        old = write(tmp_path / "b", VERSION_1, caffemodel(weights, legacy=True, old=True))
        np.testing.assert_array_equal(agree(old, tmp_path / "work-b")["prob"], new["prob"])

    def test_explicit_numbers(self, tmp_path: Path) -> None:
        """y = 2 x0 + 3 x1 + 1, told by no code of ours."""
        text = net(one("Convolution", "convolution_param { num_output: 1 kernel_size: 1 }"), (1, 2, 1, 2))
        weights = {"one": [np.array([[[[2.0]], [[3.0]]]]), np.array([1.0])]}
        source = write(tmp_path / "in", text, caffemodel(weights))
        made = CAFFE.to_onnx(piece(source, tmp_path))
        x = np.array([[[[1, 2]], [[10, 20]]]], np.float32)
        session = OnnxRuntimeSession(made.path, Setting(threads=1))
        np.testing.assert_array_equal(session.run({"data": x})["one"], [[[[33, 65]]]])

    @pytest.mark.parametrize("how", ["double", "half", "raw", "loose", "oldest"])
    def test_every_way_to_store_numbers(self, how: str, tmp_path: Path) -> None:
        weights = random_weights(LENET)
        model = MESSAGES["Weights"].FromString(caffemodel(weights))
        if how == "oldest":  # layers { layer { name blobs } }
            older = MESSAGES["Weights"]()
            for each in model.layer:
                inner = older.layers.add().layer
                inner.name = each.name
                inner.blobs.extend(each.blobs)
            model = older
        for each in model.layer:
            for blob, array in zip(each.blobs, weights[each.name], strict=True):
                if how == "double":
                    blob.double_data.append(array.astype("<f8").tobytes())
                elif how == "half":
                    blob.raw_data, blob.raw_data_type = array.astype("<f2").tobytes(), 2
                elif how == "raw":
                    blob.raw_data, blob.raw_data_type = array.astype("<f4").tobytes(), 1
                else:  # each number with its own tag: field 5, four bytes
                    loose = b"".join(b"\x2d" + number.tobytes() for number in array.astype("<f4").ravel())
                    shape = MESSAGES["Blob"](shape=blob.shape).SerializeToString()
                    blob.CopyFrom(MESSAGES["Blob"].FromString(shape + loose))
                blob.ClearField("data")
        source = write(tmp_path / "in", LENET, model.SerializeToString())
        plain = write(tmp_path / "plain", LENET, caffemodel(weights))
        feeds = fed(source)
        runs = []
        for place, each in ((tmp_path / "w1", source), (tmp_path / "w2", plain)):
            made = CAFFE.to_onnx(piece(each, place))
            runs.append(OnnxRuntimeSession(made.path, Setting(threads=1)).run(feeds)["prob"])
        np.testing.assert_allclose(*runs, atol=1e-2 if how == "half" else 1e-6)

    def test_shared_weights_need_be_there_once(self, tmp_path: Path) -> None:
        text = net(LAYERS["shared-weights"], SHAPE)
        weights = random_weights(text)
        weights["d"] = weights["c"]
        twice = agree(write(tmp_path / "a", text, caffemodel(weights)), tmp_path / "work")
        del weights["d"]
        once = write(tmp_path / "b", text, caffemodel(weights))
        made = CAFFE.to_onnx(piece(once, tmp_path / "once"))
        mine = OnnxRuntimeSession(made.path, Setting(threads=1)).run(fed(once))
        np.testing.assert_array_equal(mine["d"], twice["d"])

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda w: w.pop("ip1"), "layer 'ip1' .*no weights"),
            (lambda w: w["ip1"].pop(), "layer 'ip1' .*1 of its 2 blobs"),
            (lambda w: w["ip1"].append(np.zeros(3)), "layer 'ip1' .*takes 2 blobs"),
            (lambda w: w.update(ip1=[np.zeros((500, 799)), np.zeros(500)]), r"layer 'ip1' .*\[500, 800\]"),
            (lambda w: w.update(conv1=[np.zeros((20, 5, 5, 1)), np.zeros(20)]), "layer 'conv1' .*shape"),
        ],
    )
    def test_wrong_weights_are_refused_by_layer(self, change: Any, says: str, tmp_path: Path) -> None:
        weights = random_weights(LENET)
        change(weights)
        source = write(tmp_path / "in", LENET, caffemodel(weights))
        with pytest.raises(ConversionFailed, match=says) as caught:
            CAFFE.to_onnx(piece(source, tmp_path))
        assert caught.value.where["nodes"] in (["ip1"], ["conv1"])


class TestWhatHasNoCounterpart:
    @pytest.mark.parametrize(
        ("kind", "more", "hint"),
        [
            ("DetectionOutput", "detection_output_param { num_classes: 21 nms_param { top_k: 400 } }", "boxes"),
            ("Python", "python_param { module: 'm' layer: 'L' }", "author's code"),
            ("LSTM", "recurrent_param { num_output: 4 }", "another framework"),
            ("MyOwnLayer", "my_param { a: 1 }", "Replace the layer"),
            ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", "MAX or AVE"),
            ("Dropout", "dropout_param { scale_train: false }", "dropout_ratio"),
            ("LRN", "lrn_param { local_size: 4 }", "odd"),
            ("Exp", "exp_param { base: -2 }", "positive base"),
        ],
    )
    def test_a_layer_is_named_with_its_type_place_and_a_way_out(
        self, kind: str, more: str, hint: str, tmp_path: Path
    ) -> None:
        text = net(layer("Sigmoid", "before", "data") + "\n\n" + layer(kind, "odd one", "before", "x", more), SHAPE)
        source = write(tmp_path / "in", text)
        with pytest.raises(
            UnsupportedOperator, match=rf"layer 'odd one' \({kind}, line 5 of the .prototxt\)"
        ) as caught:
            CAFFE.to_onnx(piece(source, tmp_path))
        assert caught.value.where == {"operators": [kind], "nodes": ["odd one"]}
        assert hint in caught.value.hint

    def test_a_mask_of_maxima(self, tmp_path: Path) -> None:
        text = net(layer("Pooling", "p", "data", ["p", "mask"], "pooling_param { kernel_size: 2 stride: 2 }"), SHAPE)
        with pytest.raises(UnsupportedOperator, match="second top"):
            CAFFE.to_onnx(piece(write(tmp_path / "in", text), tmp_path))

    def test_what_opencv_lacks_fails_the_reference_by_name(self, tmp_path: Path) -> None:
        text = net(layer("Convolution", "two", ["data", "data"], ["x", "y"], conv("", "", 4, 3).split("top:")[1][3:-3]))
        source = write(tmp_path / "in", text)
        mine = OnnxRuntimeSession(CAFFE.to_onnx(piece(source, tmp_path)).path, Setting(threads=1)).run(fed(source))
        np.testing.assert_array_equal(mine["x"], mine["y"])
        with pytest.raises(ReferenceFailed, match=r"layer 'two' .*several bottoms") as caught:
            CAFFE.reference(source, Setting(threads=1), tmp_path)
        assert caught.value.where == {"operators": ["Convolution"], "nodes": ["two"]}

    def test_a_layer_that_nobody_knows_fails_the_reference_by_name(self, tmp_path: Path) -> None:
        layers = (
            conv("c", "data", 4, 3) + relu("r", "c") + layer("MyOwnLayer", "mine", "c") + layer("TanH", "t", "mine")
        )
        source = write(tmp_path / "in", net(layers, SHAPE))
        with pytest.raises(ReferenceFailed, match=r"layer 'mine' .MyOwnLayer"):
            CAFFE.reference(source, Setting(threads=1), tmp_path).run(fed(source))

    def test_layers_in_numpy_outlive_a_garbage_collection(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", CLASSIC["segmentation"])
        session = CAFFE.reference(source, Setting(threads=1), tmp_path)
        assert session.settings()["layers_in_numpy"] == "ArgMax"
        gc.collect()
        assert set(np.unique(session.run(fed(source))["classes"])) <= set(range(5))

    def test_a_dilated_deconvolution_is_one_with_a_wider_kernel(self, tmp_path: Path) -> None:
        text = net(one("Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 dilation: 2 }"))
        wide = text.replace("kernel_size: 3", "kernel_size: 5").replace("dilation: 2", "")
        weights = random_weights(text)
        stuffed = np.zeros((3, 4, 5, 5), np.float32)
        stuffed[:, :, ::2, ::2] = weights["one"][0]
        source = write(tmp_path / "in", text, caffemodel(weights))
        mine = OnnxRuntimeSession(CAFFE.to_onnx(piece(source, tmp_path)).path, Setting(threads=1)).run(fed(source))
        other = write(tmp_path / "wide", wide, caffemodel({"one": [stuffed, weights["one"][1]]}))
        true = agree(other, tmp_path / "work")
        np.testing.assert_allclose(mine["one"], true["one"], atol=1e-5)
        with pytest.raises(ReferenceFailed, match="dilation"):
            CAFFE.reference(source, Setting(threads=1), tmp_path)


class TestShapes:
    TEXT = 'layer { name: "in" type: "Input" top: "data" }' + conv("c", "data", 4, 3)

    def test_a_shape_that_the_text_lacks_comes_with_the_request(self, tmp_path: Path) -> None:
        weights = random_weights(net(conv("c", "data", 4, 3)))
        source = write(tmp_path / "in", net(conv("c", "data", 4, 3)), caffemodel(weights))
        source.path.write_text(self.TEXT)
        with pytest.raises(ConversionFailed, match="shape of its input 'data'"):
            CAFFE.to_onnx(piece(source, tmp_path))
        made = CAFFE.to_onnx(piece(source, tmp_path, shapes={"data": (1, 3, 9, 9)}))
        x = np.random.default_rng(0).standard_normal((1, 3, 9, 9)).astype(np.float32)
        mine = OnnxRuntimeSession(made.path, Setting(threads=1)).run({"data": x})
        true = CAFFE.reference(source, Setting(threads=1), tmp_path).run({"data": x})
        np.testing.assert_allclose(mine["c"], true["c"], atol=1e-5)

    def test_layers_that_do_not_fit_are_named(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", net(conv("c", "data", 4, 3)))
        source.path.write_text(net(conv("c", "data", 4, 3), (1, 3, 2, 2)))
        with pytest.raises(ConversionFailed, match=r"layer 'c' .*does not fit"):
            CAFFE.to_onnx(piece(source, tmp_path))

    def test_a_pooling_window_outside_the_picture_is_refused(self, tmp_path: Path) -> None:
        text = net(layer("Pooling", "p", "data", more="pooling_param { kernel_size: 1 stride: 3 }"), (1, 3, 5, 5))
        source = write(tmp_path / "in", net(conv("c", "data", 4, 3)))
        source.path.write_text(text)
        with pytest.raises(ConversionFailed, match=r"layer 'p' .*outside"):
            CAFFE.to_onnx(piece(source, tmp_path))


class TestTheSource:
    def test_it_is_known(self) -> None:
        assert Format.CAFFE in known()
        assert CAFFE.runtime().startswith("opencv dnn 4.")

    def test_naming_it_imports_no_framework(self) -> None:
        code = "import sys; from workers.sources import get; get('caffe'); print({'cv2', 'onnx'} & set(sys.modules))"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "set()"

    def test_settings_are_read_back(self, tmp_path: Path) -> None:
        source = write(tmp_path / "in", LENET)
        assert CAFFE.reference(source, Setting(threads=2), tmp_path).settings()["threads"] == 2
        session = CAFFE.reference(source, Setting(threads=1), tmp_path)
        assert session.settings() == {"backend": "OpenCV", "target": "CPU", "winograd": False, "threads": 1}

    def test_the_file_itself_is_read_where_it_says_the_same(self, tmp_path: Path) -> None:
        CAFFE.reference(write(tmp_path / "in", LENET), Setting(threads=1), tmp_path)
        assert not (tmp_path / "inference.prototxt").exists()
        CAFFE.reference(write(tmp_path / "in2", CLASSIC["training"]), Setting(threads=1), tmp_path)
        assert (tmp_path / "inference.prototxt").exists()

    @pytest.mark.parametrize("target", ["onnxruntime:fp32", "openvino:fp32"])
    def test_through_the_pipeline(self, target: str, tmp_path: Path) -> None:
        source = write(tmp_path / "in", CLASSIC["residual"])
        (tmp_path / "work").mkdir()
        order = Order(
            recipe=Recipe(model="0" * 64, target=parse_target(target)),
            signature=source.signature,
            model=source.path,
            work=tmp_path / "work",
            hardware=HARDWARE,
            threads=1,
            benchmark_s=0.05,
        )
        report = run(order).report
        assert report.verification is not None
        assert report.verification.agrees
        assert report.verification.reference.startswith("opencv dnn")
        assert report.intermediate is not None
        assert report.intermediate.agrees
        assert report.route[:2] == ["caffe", "onnx"]
        assert report.layers


def pooled(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...], pad: tuple[int, ...], kind: str) -> Any:
    """Caffe's PoolingLayer as it is written there, window by window; None where a window holds nothing."""
    sizes = x.shape[2:]
    places = [
        math.ceil((size + 2 * margin - window) / step) + 1
        for size, window, step, margin in zip(sizes, kernel, stride, pad, strict=True)
    ]
    if any(pad):
        for axis in (0, 1):
            places[axis] -= (places[axis] - 1) * stride[axis] >= sizes[axis] + pad[axis]
    if min(places) < 1:
        return None
    made = np.zeros((*x.shape[:2], *places))
    for row, column in np.ndindex(*places):
        begin = np.array([row, column]) * stride - pad
        end = np.minimum(begin + kernel, np.array(sizes) + pad)
        count = np.prod(end - begin)
        begin, end = np.maximum(begin, 0), np.minimum(end, sizes)
        if (end <= begin).any():
            return None
        window = x[:, :, begin[0] : end[0], begin[1] : end[1]]
        made[:, :, row, column] = window.max((2, 3)) if kind == "MAX" else window.sum((2, 3)) / count
    return made


@pytest.mark.parametrize("kind", ["MAX", "AVE"])
def test_pooling_windows_lie_where_caffe_puts_them(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    taken = 0
    for _ in range(60):
        size, kernel, stride = random.integers(1, 14, 2), random.integers(1, 6, 2), random.integers(1, 5, 2)
        pad = random.integers(0, kernel)
        more = " ".join(
            f"{name}_h: {high} {name}_w: {wide}"
            for name, (high, wide) in (("kernel", kernel), ("stride", stride), ("pad", pad))
        )
        text = net(pool(kind, more), (1, 2, *size))
        x = random.standard_normal((1, 2, *size)).astype(np.float32)
        true = pooled(x, tuple(kernel), tuple(stride), tuple(pad), kind)
        source = write(tmp_path, net(one("TanH")) if true is None else text, caffemodel({"p": []}))
        source.path.write_text(text)
        if true is None:
            with pytest.raises(ConversionFailed, match="outside"):
                CAFFE.to_onnx(piece(source, tmp_path))
            continue
        made = CAFFE.to_onnx(piece(source, tmp_path))
        mine = OnnxRuntimeSession(made.path, Setting(threads=1)).run({"data": x})
        np.testing.assert_allclose(mine["p"], true, atol=1e-5, err_msg=more)
        taken += 1
    assert taken > 40
