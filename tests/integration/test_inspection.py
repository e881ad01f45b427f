"""Real and hostile files through the real child process; and, for many of them, through the reader itself."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from enginehouse.errors import (
    ExternalDataMissing,
    ExternalDataOutside,
    ModelFormatUnsupported,
    ModelUnreadable,
    NotReady,
    RequestError,
)
from enginehouse.signature import ModelSignature, TensorSpec
from scheduler.inspection import inspect_model
from scheduler.inspection.model import read_model as read_onnx
from zoo.fetch import model_path

PACKAGED = Path(onnx.__file__).parent / "backend" / "test" / "data"
FLOAT = TensorProto.FLOAT


def value(name: str, shape: list[Any] | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def scale_model(weight: TensorProto | None = None, **more: Any) -> ModelProto:
    """y = x * w"""
    weight = weight or numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "scale",
        [value("x", ["batch", 2, None]), value("w", [2, 3])],
        [value("y", ["batch", 2, 3])],
        [weight],
        **more,
    )
    return helper.make_model(graph, producer_name="test", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def varint(number: int) -> bytes:
    found = bytearray()
    while number:
        found.append((number & 0x7F) | (0x80 if number > 0x7F else 0))
        number >>= 7
    return bytes(found)


def external(location: str, dims: tuple[int, ...] = (2, 3), **entries: Any) -> TensorProto:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(text))
    return tensor


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., list[tuple[str, Path]]]:
    """Write an upload as the farm stores it: each file under a name that says nothing."""

    def write(model: ModelProto | bytes, name: str = "model.onnx", **others: bytes) -> list[tuple[str, Path]]:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        files = [(name, data), *((path.replace("__", "/"), other) for path, other in others.items())]
        saved = []
        for number, (path, content) in enumerate(files):
            local = tmp_path / f"blob-{number}"
            local.write_bytes(content)
            saved.append((path, local))
        return saved

    return write


class TestRealModels:
    @pytest.mark.parametrize("name", ["bvlc_alexnet", "densenet121", "inception_v2", "shufflenet", "vgg19"])
    def test_packaged_networks(self, name: str) -> None:
        path = PACKAGED / "light" / f"light_{name}.onnx"
        model = onnx.load(path)
        signature = inspect_model([("model.onnx", path)])
        assert signature.format == "onnx"
        (fed,) = signature.inputs
        assert (fed.dtype, fed.shape) == ("float32", [1, 3, 224, 224])
        assert sum(signature.operators.values()) == len(model.graph.node)
        assert signature.parameters == sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)

    def test_weights_that_were_written_as_constants_are_parameters(self) -> None:
        path = model_path("ppocr-cls")
        model = onnx.load(path)
        assert not model.graph.initializer
        weights = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
        real = [int(np.prod(one.dims)) for one in weights if one.data_type == onnx.TensorProto.FLOAT]
        assert inspect_model([("model.onnx", path)]).parameters == sum(size for size in real if size > 1) > 100_000

    def test_every_packaged_graph_is_taken(self) -> None:
        paths = sorted(PACKAGED.glob("pytorch-*/*/model.onnx")) + sorted(PACKAGED.glob("simple/*/model.onnx"))
        assert len(paths) > 100
        for path in paths:
            signature = read_onnx([("model.onnx", path)])
            assert signature.operators, path

    def test_signature(self, save: Callable[..., Any]) -> None:
        assert inspect_model(save(scale_model())) == ModelSignature(
            format="onnx",
            producer="test",
            ir_version=8,
            opsets={"": 17},
            inputs=[TensorSpec(name="x", dtype="float32", shape=["batch", 2, None])],
            outputs=[TensorSpec(name="y", dtype="float32", shape=["batch", 2, 3])],
            operators={"Mul": 1},
            parameters=6,
        )

    def test_subgraphs_functions_and_domains_are_counted(self, save: Callable[..., Any]) -> None:
        weight = numpy_helper.from_array(np.ones(4, np.float32), "inner")
        branch = helper.make_graph(
            [helper.make_node("Identity", ["inner"], ["b"])], "then", [], [value("b", [4])], [weight]
        )
        other = helper.make_graph(
            [helper.make_node("Gelu", ["x"], ["b"], domain="com.microsoft")], "else", [], [value("b", [4])]
        )
        graph = helper.make_graph(
            [
                helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=other),
                helper.make_node("Twice", ["x"], ["z"], domain="ours"),
            ],
            "main",
            [value("c", [], TensorProto.BOOL), value("x", [4], TensorProto.FLOAT16)],
            [value("y", None), value("z", [4])],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ours", 1), helper.make_opsetid("com.microsoft", 1)]
        function = helper.make_function(
            "ours", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
        )
        model = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8)
        signature = inspect_model(save(model))
        assert signature.operators == {"Add": 1, "If": 1, "Identity": 1, "com.microsoft.Gelu": 1, "ours.Twice": 1}
        assert signature.opsets == {"": 17, "ours": 1, "com.microsoft": 1}
        assert signature.parameters == 4
        assert [spec.dtype for spec in signature.inputs] == ["bool", "float16"]
        assert signature.outputs[0].shape == [None]  # no shape was given

    @pytest.mark.parametrize("odd", ["shapeless", "typeless", "nameless", "unsorted"])
    def test_what_runtimes_take_is_taken(self, save: Callable[..., Any], odd: str) -> None:
        model = scale_model()
        if odd == "shapeless":
            model.graph.output[0].type.tensor_type.ClearField("shape")
        elif odd == "typeless":
            model.graph.output[0].ClearField("type")
        elif odd == "nameless":
            model.graph.ClearField("name")
        else:
            model.graph.node[0].input[0] = "later"
            model.graph.node.append(helper.make_node("Identity", ["x"], ["later"]))
        assert inspect_model(save(model)).parameters == 6

    def test_nothing_of_our_environment_reaches_the_child(
        self, save: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENGINEHOUSE_SECRET_KEY", "very secret")
        monkeypatch.setenv("PYTHONSTARTUP", "/nonexistent")
        assert inspect_model(save(scale_model())).parameters == 6


class TestExternalData:
    def test_beside_the_model(self, save: Callable[..., Any]) -> None:
        for location in ("weights.bin", "./weights.bin"):
            files = save(scale_model(external(location)), **{"weights.bin": bytes(24)})
            assert inspect_model(files).parameters == 6

    def test_many_tensors_in_one_file(self, save: Callable[..., Any]) -> None:
        """As exporters write it: every initialiser has its own place in the same file."""
        model = scale_model(external("w.bin", offset=0, length=24))
        for number in range(1, 4):
            more = external("w.bin", offset=24 * number, length=24)
            more.name = f"w{number}"
            model.graph.initializer.append(more)
        assert inspect_model(save(model, **{"w.bin": bytes(4 * 24)})).parameters == 24

    def test_offset_and_length(self, save: Callable[..., Any]) -> None:
        model = scale_model(external("w.bin", offset=4096, length=24))
        assert inspect_model(save(model, **{"w.bin": bytes(4096 + 24)})).parameters == 6

    def test_in_the_models_own_folder(self, save: Callable[..., Any]) -> None:
        files = save(scale_model(external("w.bin")), "sub/model.onnx", sub__w=b"", **{"sub__w.bin": bytes(24)})
        assert inspect_model(files).parameters == 6

    @pytest.mark.parametrize(
        "location",
        [
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "sub/../../w.bin",
            "sub/../w.bin",
            "",
            ".",
            "C:\\windows\\win.ini",
            "..\\w.bin",
            "w\x00.bin",
            "w\n.bin",
            "x" * 300,
        ],
    )
    def test_outside_the_upload(self, save: Callable[..., Any], location: str) -> None:
        with pytest.raises(ExternalDataOutside, match="tensor w") as caught:
            read_onnx(save(scale_model(external(location)), **{"w.bin": bytes(24)}))
        assert caught.value.where["tensor"] == "w"
        assert caught.value.where["location"].isprintable()

    def test_outside_through_the_child(self, save: Callable[..., Any]) -> None:
        with pytest.raises(ExternalDataOutside, match=r"'\.\./\.\./etc/passwd'") as caught:
            inspect_model(save(scale_model(external("../../etc/passwd"))))
        assert caught.value.where == {"tensor": "w", "location": "../../etc/passwd"}
        assert "'..'" in caught.value.hint

    @pytest.mark.parametrize("location", ["other.bin", "sub/w.bin", "*/_ORT_MEM_ADDR_/*", "W.BIN"])
    def test_not_uploaded(self, save: Callable[..., Any], location: str) -> None:
        with pytest.raises(ExternalDataMissing, match="was not uploaded") as caught:
            read_onnx(save(scale_model(external(location)), **{"w.bin": bytes(24)}))
        assert caught.value.where == {"tensor": "w", "location": location}

    @pytest.mark.parametrize(
        "entries",
        [{"offset": 1}, {"length": 25}, {"offset": 24, "length": 24}, {"offset": 10**18, "length": 24}],
    )
    def test_beyond_the_end_of_its_file(self, save: Callable[..., Any], entries: dict[str, int]) -> None:
        with pytest.raises(ExternalDataMissing, match="which has 24"):
            read_onnx(save(scale_model(external("w.bin", **entries)), **{"w.bin": bytes(24)}))

    @pytest.mark.parametrize("entries", [{"offset": -1}, {"offset": "1e3"}, {"length": "٣"}, {"offset": "9" * 40}])
    def test_numbers_that_are_none(self, save: Callable[..., Any], entries: dict[str, object]) -> None:
        with pytest.raises(ModelUnreadable, match="not a number"):
            read_onnx(save(scale_model(external("w.bin", **entries)), **{"w.bin": bytes(24)}))

    def test_a_length_that_does_not_fit_the_dimensions(self, save: Callable[..., Any]) -> None:
        with pytest.raises(ModelUnreadable, match="need 24 bytes"):
            read_onnx(save(scale_model(external("w.bin", length=20)), **{"w.bin": bytes(24)}))

    def test_said_twice(self, save: Callable[..., Any]) -> None:
        tensor = external("w.bin")
        tensor.external_data.add(key="location", value="../secret")
        with pytest.raises(ModelUnreadable, match="twice"):
            read_onnx(save(scale_model(tensor), **{"w.bin": bytes(24)}))

    def test_entries_count_even_if_the_tensor_says_they_do_not(self, save: Callable[..., Any]) -> None:
        tensor = external("/etc/passwd")
        tensor.data_location = TensorProto.DEFAULT
        with pytest.raises(ExternalDataOutside):
            read_onnx(save(scale_model(tensor)))

    @pytest.mark.parametrize(
        "place",
        [
            "attribute",
            "lying attribute",
            "list",
            "sparse",
            "sparse attribute",
            "subgraph",
            "function",
            "function default",
            "training",
        ],
    )
    def test_in_every_place_that_holds_tensors(self, save: Callable[..., Any], place: str) -> None:
        with pytest.raises(ExternalDataOutside):
            read_onnx(save(hide(external("../secret"), place)))


def hide(tensor: TensorProto, place: str) -> ModelProto:
    """A model that has the tensor in this place."""
    model = scale_model()
    attribute = AttributeProto(name="value", type=AttributeProto.TENSOR)
    sparse = onnx.SparseTensorProto(values=tensor, dims=[10])
    if place == "list":
        attribute.tensors.append(tensor)
    elif place == "sparse":
        model.graph.sparse_initializer.append(sparse)
    elif place == "sparse attribute":
        attribute.sparse_tensor.CopyFrom(sparse)
    elif place == "subgraph":
        attribute.g.CopyFrom(helper.make_graph([], "g", [], [], [tensor]))
    else:
        attribute.t.CopyFrom(tensor)
    if place == "lying attribute":
        attribute.type = AttributeProto.INT
    constant = helper.make_node("Constant", [], ["c"])
    constant.attribute.append(attribute)
    if place == "function":
        model.functions.add(name="f", domain="ours").node.append(constant)
    elif place == "function default":
        model.functions.add(name="f", domain="ours").attribute_proto.append(attribute)
    elif place == "training":
        model.training_info.add().algorithm.initializer.append(tensor)
    elif place != "sparse":
        model.graph.node.insert(0, constant)
    return model


class TestHostileModels:
    @pytest.mark.parametrize("size", [0, 1, 100, 100_000])
    def test_random_bytes(self, save: Callable[..., Any], size: int) -> None:
        with pytest.raises(ModelUnreadable, match="not an ONNX model"):
            inspect_model(save(np.random.default_rng(size).bytes(size)))

    @pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
    def test_truncated(self, save: Callable[..., Any], share: float) -> None:
        data = (PACKAGED / "light" / "light_shufflenet.onnx").read_bytes()
        cut = data[: int(len(data) * share)]
        with pytest.raises(ModelUnreadable, match=f"truncated: the file ends after {len(cut)} bytes"):
            inspect_model(save(cut))

    def test_every_cut_of_a_model_is_refused(self, save: Callable[..., Any]) -> None:
        data = scale_model().SerializeToString()
        truncated = 0
        for end in range(len(data)):
            with pytest.raises(ModelUnreadable) as caught:
                read_onnx(save(data[:end]))
            truncated += "truncated" in caught.value.detail
        assert truncated > 0.9 * len(data)

    def test_another_protobuf(self, save: Callable[..., Any]) -> None:
        with pytest.raises(ModelUnreadable):
            read_onnx(save(numpy_helper.from_array(np.ones(5)).SerializeToString()))

    def test_a_graph_without_opsets(self, save: Callable[..., Any]) -> None:
        model = scale_model()
        model.ClearField("opset_import")
        with pytest.raises(ModelUnreadable, match="checker"):
            inspect_model(save(model))

    def test_an_operator_that_does_not_exist(self, save: Callable[..., Any]) -> None:
        model = scale_model()
        model.graph.node[0].op_type = "Mull"
        with pytest.raises(ModelUnreadable, match="Mull"):
            inspect_model(save(model))

    def test_dimensions_that_need_more_bytes_than_there_are(self, save: Callable[..., Any]) -> None:
        for dims in ([2**62, 2**62], [2**63 - 1] * 64, [1], []):
            tensor = TensorProto(name="w", data_type=FLOAT, dims=dims, raw_data=bytes(24))
            with pytest.raises(ModelUnreadable, match="need"):
                read_onnx(save(scale_model(tensor)))
        for dims in ([-1], [1] * 65):
            tensor = TensorProto(name="w", data_type=FLOAT, dims=dims, raw_data=bytes(4))
            with pytest.raises(ModelUnreadable, match="impossible dimensions"):
                read_onnx(save(scale_model(tensor)))
        with pytest.raises(ModelUnreadable, match="element type"):
            read_onnx(save(scale_model(TensorProto(name="w", data_type=99, dims=[1], raw_data=b"x"))))

    def test_deep_nesting(self, save: Callable[..., Any]) -> None:
        def field(number: int, content: bytes) -> bytes:
            length, varint = len(content), bytearray()
            while length > 0x7F:
                varint.append(length & 0x7F | 0x80)
                length >>= 7
            return bytes([number << 3 | 2, *varint, length]) + content

        graph = b""
        for _ in range(5000):  # a node with an attribute with a graph
            graph = field(1, field(5, field(6, graph)))
        with pytest.raises(ModelUnreadable, match="nests"):
            inspect_model(save(b"\x08\x08" + field(7, graph)))

    @pytest.mark.parametrize("name", ["", "a\x00b", "a\nb", "\x1b[2J", "x" * 2000, "a\u202eb"])
    def test_names_that_cannot_be_shown(self, save: Callable[..., Any], name: str) -> None:
        model = scale_model()
        model.graph.input[0].name = model.graph.node[0].input[0] = name
        with pytest.raises(ModelUnreadable, match="has a name"):
            read_onnx(save(model))

    def test_other_texts_are_cleaned(self, save: Callable[..., Any]) -> None:
        model = scale_model()
        model.producer_name = "\x1b[31mevil\x07" + "x" * 10_000
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "a\x00b"
        signature = read_onnx(save(model))
        assert signature.producer.startswith("[31mevil")
        assert len(signature.producer) == 200
        assert signature.inputs[0].shape[0] == "a b"

    def test_text_that_is_not_utf8(self, save: Callable[..., Any]) -> None:
        data = scale_model().SerializeToString().replace(b"test", b"\xff\xfe\xfd\xfc")
        assert "\ufffd" in inspect_model(save(data)).producer

    def test_a_protobuf_bomb_ends_by_its_memory(self, save: Callable[..., Any]) -> None:
        node = b"\x0a\x00"  # an empty node: two bytes in the file, dozens in memory
        graph = node * 20_000_000
        with pytest.raises(ModelUnreadable, match=r"memory|died|ModelProto") as caught:
            inspect_model(save(b"\x08\x08\x3a" + varint(len(graph)) + graph), memory_mb=400)
        assert caught.value.detail

    def test_a_time_limit(self, save: Callable[..., Any]) -> None:
        before = children()
        nodes = b"\x0a\x00" * 4_000_000
        graph = b"\x3a" + varint(len(nodes)) + nodes
        with pytest.raises(ModelUnreadable, match=r"longer than 1 s of the processor"):
            inspect_model(save(b"\x08\x08" + graph), time_s=1)
        assert children() == before

    def test_a_busy_machine_is_no_fault_of_the_model(self, save: Callable[..., Any]) -> None:
        before = children()
        with pytest.raises(NotReady, match="could not be read within") as caught:
            inspect_model(save(scale_model()), wait_s=0.005)
        assert caught.value.retried
        assert children() == before

    def test_too_little_memory_to_start(self, save: Callable[..., Any]) -> None:
        with pytest.raises(ModelUnreadable):
            inspect_model(save(scale_model()), memory_mb=1)


def children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


class TestOtherFormats:
    @pytest.mark.parametrize(
        ("data", "format_"),
        [
            (pickle.dumps({"state": 1}), "pickle"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "pickle"),
            (zipped("archive/data.pkl", "archive/version"), "pickle"),
            (zipped("x.npy"), ".npz"),
            (zipped("whatever.txt"), "zip"),
            (b"PK\x03\x04broken", "zip"),
            (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
            (b"\x1c\x00\x00\x00ORTM" + bytes(100), ".ort"),
            (b'\x40\0\0\0\0\0\0\0{"w":{"dtype":"F32"' + bytes(100), "safetensors"),
            (b"GGUF\x03" + bytes(100), "GGUF"),
            (b"\x1f\x8b\x08" + bytes(100), "gzip"),
            (b"<?xml version='1.0'?><net name='m'>", "XML"),
            (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
            (b'{"not": "a model"}', "JSON"),
        ],
    )
    def test_recognised_and_refused_with_a_way_out(self, save: Callable[..., Any], data: bytes, format_: str) -> None:
        with pytest.raises(ModelFormatUnsupported, match=r"the farm takes onnx|runs code") as caught:
            read_onnx(save(data))
        assert format_ in caught.value.detail
        assert caught.value.hint

    def test_pickle_through_the_child_is_not_loaded(self, save: Callable[..., Any], tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(tmp_path / "owned"),)

        with pytest.raises(ModelFormatUnsupported, match="pickle") as caught:
            inspect_model(save(pickle.dumps(Evil()), "model.pt"))
        assert "runs code" in caught.value.detail
        assert "torch.export" in caught.value.hint
        assert not (tmp_path / "owned").exists()

    def test_by_name_where_the_bytes_say_nothing(self, save: Callable[..., Any]) -> None:
        with pytest.raises(ModelFormatUnsupported, match="Caffe"):
            read_onnx(save(b"layer { name: 'x' }", "net.prototxt"))


class TestFuzz:
    """Whatever the bytes are: an answer or one of our errors, never anything else."""

    SEED = scale_model().SerializeToString()

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=200))
    @example(data=b"\x08\x08")
    @example(data=b"\x3a\x00")
    def test_any_bytes(self, save: Callable[..., Any], data: bytes) -> None:
        with pytest.raises(RequestError):
            read_onnx(save(data))

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, len(SEED) - 1), put=st.binary(min_size=1, max_size=4), drop=st.integers(0, 4))
    def test_a_changed_model(self, save: Callable[..., Any], at: int, put: bytes, drop: int) -> None:
        try:
            signature = read_onnx(save(self.SEED[:at] + put + self.SEED[at + drop :]))
        except RequestError as error:
            assert error.detail.isprintable()
        else:
            assert ModelSignature.model_validate_json(signature.model_dump_json()) == signature
