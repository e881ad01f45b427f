"""SavedModel, Keras and LiteRT files, real and hostile, as the farm reads them without TensorFlow."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from contract.sources.tensorflow_models import SIDE, copied, make, source, upload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enginehouse.errors import (
    EnginehouseError,
    ExternalDataMissing,
    ExternalDataOutside,
    ModelExecutesCode,
    ModelFormatUnsupported,
    ModelUnreadable,
    TooLarge,
)
from enginehouse.signature import ModelSignature, TensorSpec
from scheduler.inspection import inspect_model
from scheduler.inspection.model import read_model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    make(folder)
    return folder


def spec(name: str, dtype: str, *shape: int | None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=list(shape))


CHANCES = 5
SIGNATURES = {
    "cnn": (
        [spec("image", "float32", None, SIDE, SIDE, 3)],
        [spec("output_0", "float32", None, CHANCES), spec("output_1", "float32", None, CHANCES)],
    ),
    "cnn.keras": (
        [spec("image", "float32", None, SIDE, SIDE, 3)],
        [spec("chances", "float32", None, CHANCES), spec("logits", "float32", None, CHANCES)],
    ),
    "pair.keras": (
        [spec("a-weight", "float32", None, None, 1), spec("words", "int32", None, None)],
        [spec("all", "float32", None, None, 4), spec("last", "float32", None)],
    ),
    "sequence.keras": ([spec("six", "float32", None, 6)], [spec("end", "float32", None, 3)]),
    "module": (
        [spec("rate", "float32"), spec("x", "float32", None, 4)],
        [spec("best", "int64", None), spec("scaled", "float32", None, 3)],
    ),
    "cnn_int8.tflite": (
        [spec("image", "int8", None, SIDE, SIDE, 3)],
        [spec("output_1", "int8", None, CHANCES), spec("output_0", "int8", None, CHANCES)],
    ),
}
SIGNATURES["lone"] = SIGNATURES["module"]
SIGNATURES["cnn.zip"] = SIGNATURES["cnn.tar.gz"] = SIGNATURES["cnn"]

PARAMETERS = {
    "cnn": 3 * 3 * 3 * 8 + 8 + 4 * 8 + 72 * 5 + 5,
    "pair.keras": 50 * 6 + 4 * 4 * (6 + 4 + 1),
    "sequence.keras": 7 * 6 + 7 + 3 * 7 + 3,
    "module": 12,
    # The batch norm is folded into the convolution, a bias of zeros dropped; sizes and axes are no weights.
    "cnn.tflite": 3 * 3 * 3 * 8 + 8 + 72 * 5,
}
PARAMETERS["cnn.keras"] = PARAMETERS["cnn"]
PARAMETERS["cnn_int8.tflite"] = PARAMETERS["cnn.tflite"]


class TestRealModels:
    @pytest.mark.parametrize("name", SIGNATURES)
    def test_inputs_and_outputs(self, models: Path, name: str) -> None:
        signature = source(models / name).signature
        assert (signature.inputs, signature.outputs) == SIGNATURES[name]

    @pytest.mark.parametrize("name", PARAMETERS)
    def test_parameters(self, models: Path, name: str) -> None:
        assert source(models / name).signature.parameters == PARAMETERS[name]

    def test_operators_and_producers(self, models: Path) -> None:
        graph, layers, flat = (source(models / f"cnn{kind}").signature for kind in ("", ".keras", ".tflite"))
        assert graph.producer.startswith("tensorflow 2.")
        assert layers.producer.startswith("keras 3.")
        assert flat.producer.startswith("tflite ")
        for operator in ("Conv2D", "Relu", "MatMul", "Softmax"):
            assert graph.operators[operator] == 1
        assert "RestoreV2" not in graph.operators  # saving and restoring are no inference
        assert layers.operators == dict.fromkeys(
            ("BatchNormalization", "Conv2D", "Dense", "Flatten", "MaxPooling2D", "ReLU", "Softmax"), 1
        )
        assert flat.operators["CONV_2D"] == flat.operators["FULLY_CONNECTED"] == 1

    def test_flops(self, models: Path) -> None:
        half = SIDE // 2
        expected = 2 * (half * half * 8 * 3 * 3 * 3 + 72 * 5)
        assert source(models / "cnn.tflite").signature.flops == expected
        assert source(models / "cnn.keras").signature.flops == expected
        assert source(models / "sequence.keras").signature.flops == 2 * (6 * 7 + 7 * 3)
        assert source(models / "pair.keras").signature.flops is None  # a recurrent layer's work is not told by shapes
        assert source(models / "custom.tflite").signature.flops is None  # nobody knows what it does

    @pytest.mark.parametrize("name", ["cnn", "cnn.tar.gz", "pair.keras", "cnn_int8.tflite"])
    def test_through_the_confined_child(self, models: Path, name: str) -> None:
        assert inspect_model(upload(models / name)) == source(models / name).signature

    def test_functions_that_nothing_starts_do_not_count(self, models: Path) -> None:
        """The module has functions with Python and files in them; only what is served or started by loading counts."""
        assert "MatMul" in source(models / "module").signature.operators


class TestSavedModel:
    @pytest.mark.parametrize(("name", "operator"), [("python", "EagerPyFunc"), ("reading", "ReadFile")])
    def test_code_and_files_are_refused(self, models: Path, name: str, operator: str) -> None:
        with pytest.raises(ModelExecutesCode, match=operator) as caught:
            inspect_model(upload(models / name))
        assert caught.value.where["operator"] == operator
        assert caught.value.where["node"]

    @pytest.mark.parametrize(("name", "says"), [("none", "no signature"), ("several", "2 signatures \\(one, other\\)")])
    def test_what_is_served_must_be_clear(self, models: Path, name: str, says: str) -> None:
        with pytest.raises(ModelUnreadable, match=says):
            read_model(upload(models / name))

    @pytest.mark.parametrize("missing", ["variables/variables.index", "variables/variables.data-00000-of-00001"])
    def test_missing_variables(self, models: Path, tmp_path: Path, missing: str) -> None:
        (copied(models / "cnn", tmp_path) / missing).unlink()
        with pytest.raises(ExternalDataMissing, match=missing):
            read_model(upload(tmp_path / "cnn"))

    def test_the_graph_alone(self, models: Path) -> None:
        with pytest.raises(ExternalDataMissing, match=r"variables\.index"):
            read_model([("saved_model.pb", models / "cnn" / "saved_model.pb")])

    def test_a_folder_inside_the_upload(self, models: Path) -> None:
        files = [(f"deep/er/{path}", file) for path, file in upload(models / "cnn")]
        assert read_model(files) == source(models / "cnn").signature

    def test_cut_off(self, models: Path, tmp_path: Path) -> None:
        graph = copied(models / "cnn", tmp_path) / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[:-1000])
        with pytest.raises(ModelUnreadable, match="cut off"):
            read_model(upload(tmp_path / "cnn"))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damage_is_never_our_bug(self, models: Path, tmp_path: Path, data: Any) -> None:
        damaged(models / "module" / "saved_model.pb", tmp_path / "saved_model.pb", data)
        files = upload(models / "module")
        survives([("saved_model.pb", tmp_path / "saved_model.pb"), *files[1:]])


def damaged(model: Path, place: Path, data: Any) -> None:
    """A copy with a few bytes changed, maybe cut off."""
    content = bytearray(model.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    place.write_bytes(content[: data.draw(st.integers(8, len(content)))])


def survives(files: list[tuple[str, Path]]) -> None:
    """Whatever the bytes are: a signature, or one of our errors."""
    try:
        assert isinstance(read_model(files), ModelSignature)
    except EnginehouseError as error:
        assert error.detail
    except (UnicodeDecodeError, ValueError) as error:
        assert "utf-8" in str(error)  # names that are no text: the child says so


class TestArchives:
    def zipped(self, place: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> list[tuple[str, Path]]:
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in members:
                out.writestr(name, content)
        return [("model.zip", place)]

    def tarred(self, place: Path, *members: tuple[tarfile.TarInfo, bytes]) -> list[tuple[str, Path]]:
        with tarfile.open(place, "w:gz") as out:
            for info, content in members:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
        return [("model.tar.gz", place)]

    @pytest.mark.parametrize("path", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\evil", "C:\\evil"])
    def test_paths_that_leave_it(self, models: Path, tmp_path: Path, path: str) -> None:
        graph = (models / "module" / "saved_model.pb").read_bytes()
        info = zipfile.ZipInfo("placeholder")
        info.filename = path
        packed = self.zipped(tmp_path / "a.zip", ("saved_model.pb", graph), (info, b"x"))
        with pytest.raises(ExternalDataOutside, match="not a plain path"):
            read_model(packed)
        packed = self.tarred(
            tmp_path / "a.tgz", (tarfile.TarInfo("saved_model.pb"), graph), (tarfile.TarInfo(path), b"x")
        )
        with pytest.raises(ExternalDataOutside, match="not a plain path"):
            read_model(packed)

    def test_links(self, models: Path, tmp_path: Path) -> None:
        graph = (models / "module" / "saved_model.pb").read_bytes()
        soft = zipfile.ZipInfo("variables")
        soft.external_attr = 0o120777 << 16
        with pytest.raises(ExternalDataOutside, match="'variables' is a link"):
            read_model(self.zipped(tmp_path / "a.zip", (soft, b"/etc"), ("saved_model.pb", graph)))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            link = tarfile.TarInfo("variables")
            link.type, link.linkname = kind, "/etc"
            packed = self.tarred(tmp_path / "a.tgz", (link, b""), (tarfile.TarInfo("saved_model.pb"), graph))
            with pytest.raises(ExternalDataOutside, match="'variables' is a link"):
                read_model(packed)

    def test_bombs(self, models: Path, tmp_path: Path) -> None:
        zeros = bytes(100 * 1024**2)
        graph = (models / "module" / "saved_model.pb").read_bytes()
        packed = self.zipped(tmp_path / "a.zip", ("saved_model.pb", graph), ("variables/variables.index", zeros))
        with pytest.raises(TooLarge, match="unpacks to more than"):
            inspect_model(packed)
        packed = self.tarred(
            tmp_path / "a.tgz", (tarfile.TarInfo("saved_model.pb"), graph), (tarfile.TarInfo("assets/zeros"), zeros)
        )
        with pytest.raises(TooLarge, match="unpacks to more than"):
            inspect_model(packed)

    def test_a_zip_that_lies_about_sizes(self, models: Path, tmp_path: Path) -> None:
        """The directory says 10 bytes of graph; no more of it are read than that."""
        graph = (models / "module" / "saved_model.pb").read_bytes()
        self.zipped(tmp_path / "a.zip", ("saved_model.pb", graph))
        content = (tmp_path / "a.zip").read_bytes()
        at = content.index(b"PK\1\2") + 24
        lying = content[:at] + (10).to_bytes(4, "little") + content[at + 4 :]
        (tmp_path / "a.zip").write_bytes(lying)
        with pytest.raises(ModelUnreadable):
            read_model([("model.zip", tmp_path / "a.zip")])

    def test_two_models_or_one_twice(self, models: Path, tmp_path: Path) -> None:
        graph = (models / "module" / "saved_model.pb").read_bytes()
        with pytest.raises(ModelUnreadable, match="more than one"):
            read_model(self.zipped(tmp_path / "a.zip", ("a/saved_model.pb", graph), ("b/saved_model.pb", graph)))
        with pytest.warns(UserWarning, match="Duplicate"):
            packed = self.zipped(tmp_path / "b.zip", ("saved_model.pb", graph), ("x", b"1"), ("x", b"2"))
        with pytest.raises(ModelUnreadable, match="two members 'x'"):
            read_model(packed)

    def test_desktop_litter_does_no_harm(self, models: Path, tmp_path: Path) -> None:
        files = [(f"net/{path}", file.read_bytes()) for path, file in upload(models / "cnn")]
        litter = [("__MACOSX/net/._saved_model.pb", b"x"), ("net/.DS_Store", b"x")]
        packed = self.zipped(tmp_path / "a.zip", *litter, *files)
        assert read_model(packed) == source(models / "cnn").signature

    @pytest.mark.parametrize("name", ["cnn.zip", "cnn.tar.gz"])
    def test_cut_off(self, models: Path, tmp_path: Path, name: str) -> None:
        content = (models / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(ModelUnreadable):
            read_model([(name, tmp_path / name)])

    def test_variables_are_looked_for_inside(self, models: Path, tmp_path: Path) -> None:
        graph = (models / "module" / "saved_model.pb").read_bytes()
        with pytest.raises(ExternalDataMissing, match=r"variables\.index"):
            read_model(self.zipped(tmp_path / "a.zip", ("net/saved_model.pb", graph)))


Change = Callable[[dict[str, Any]], Any]


class TestKeras:
    def changed(self, model: Path, place: Path, change: Change, member: str = "config.json") -> list[tuple[str, Path]]:
        """A copy of a .keras file whose config (or another member) was changed in place."""
        with zipfile.ZipFile(model) as have, zipfile.ZipFile(place, "w") as out:
            for name in have.namelist():
                content = have.read(name)
                if name == member:
                    config = json.loads(content)
                    change(config)
                    content = json.dumps(config).encode()
                out.writestr(name, content)
        return [("model.keras", place)]

    def layer(self, config: dict[str, Any], kind: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in config["config"]["layers"] if one["class_name"] == kind)
        return found

    def test_a_lambda_names_its_layer_and_the_way_out(self, tmp_path: Path, models: Path) -> None:
        import keras

        x = keras.Input((4,), name="x")
        inner = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda value: value * 2, name="twice")])
        keras.Model(x, inner(x)).save(tmp_path / "bad.keras")
        with pytest.raises(ModelExecutesCode, match="'twice'") as caught:
            inspect_model([("bad.keras", tmp_path / "bad.keras")])
        assert "model.export(" in caught.value.hint

    def test_classes_of_its_author(self, tmp_path: Path, models: Path) -> None:
        def custom(config: dict[str, Any]) -> None:
            self.layer(config, "ReLU").update(module=None, class_name="Mine", registered_name="ours>Mine")

        def disguised(config: dict[str, Any]) -> None:
            self.layer(config, "ReLU")["registered_name"] = "ours>ReLU"

        def elsewhere(config: dict[str, Any]) -> None:
            self.layer(config, "ReLU").update(module="os", class_name="system")

        def function(config: dict[str, Any]) -> None:
            made = {"module": "builtins", "class_name": "function", "config": "mine", "registered_name": "mine"}
            self.layer(config, "Conv2D")["config"]["activation"] = made

        def not_modelling(config: dict[str, Any]) -> None:
            made = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": None}
            self.layer(config, "Conv2D")["config"]["activation"] = made

        def bytecode(config: dict[str, Any]) -> None:
            made = {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}
            self.layer(config, "Conv2D")["config"]["kernel_initializer"] = made

        def loader(config: dict[str, Any]) -> None:
            self.layer(config, "ReLU").update(class_name="TFSMLayer")

        def file(config: dict[str, Any]) -> None:
            self.layer(config, "ReLU")["config"]["vocabulary"] = "/etc/passwd"

        named = {
            custom: "Mine", disguised: "ReLU", elsewhere: "system", function: "function", not_modelling: "get_file",
            bytecode: "__lambda__", loader: "TFSMLayer", file: "/etc/passwd",
        }  # fmt: skip
        for change, name in named.items():
            packed = self.changed(models / "cnn.keras", tmp_path / "changed.keras", change)
            with pytest.raises(ModelExecutesCode, match=name) as caught:
                read_model(packed)
            assert caught.value.where["layer"] in ("relu", "conv"), change

    def test_what_it_was_compiled_with_does_not_count(self, tmp_path: Path, models: Path) -> None:
        """A loss of one's own stays where the model was trained."""

        def compiled(config: dict[str, Any]) -> None:
            config["compile_config"] = {"loss": {"module": "mine", "class_name": "Loss", "config": {}}}

        packed = self.changed(models / "cnn.keras", tmp_path / "changed.keras", compiled)
        assert read_model(packed) == source(models / "cnn.keras").signature

    def test_keras_2(self, tmp_path: Path, models: Path) -> None:
        packed = self.changed(
            models / "cnn.keras",
            tmp_path / "old.keras",
            lambda data: data.update(keras_version="2.15.0"),
            "metadata.json",
        )
        with pytest.raises(ModelFormatUnsupported, match=r"Keras 2\.15\.0") as caught:
            read_model(packed)
        assert "SavedModel" in caught.value.hint

    def test_hdf5_alone(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "net.h5", "w") as file:
            file["x"] = np.zeros(3)
        with pytest.raises(ModelFormatUnsupported, match="HDF5") as caught:
            read_model([("net.h5", tmp_path / "net.h5")])
        assert ".keras" in caught.value.hint

    def test_never_built(self, tmp_path: Path, models: Path) -> None:
        packed = self.changed(
            models / "sequence.keras", tmp_path / "new.keras", lambda config: config["config"]["layers"].pop(0)
        )
        with pytest.raises(ModelUnreadable, match="input shape"):
            read_model(packed)

    @pytest.mark.parametrize(
        "change",
        [
            lambda config: config.clear(),
            lambda config: config["config"].clear(),
            lambda config: config["config"].update(output_layers=[["nowhere", 0, 0]]),
            lambda config: config["config"].update(input_layers=7),
            lambda config: config["config"]["layers"][0]["config"].update(batch_shape="wide"),
            lambda config: config["config"]["layers"][-1].update(inbound_nodes=[{"args": [{"class_name": 3}]}]),
            lambda config: config["config"]["layers"][1].update(config={"filters": "many", "name": "c"}),
        ],
    )
    def test_configs_that_keras_never_wrote(self, tmp_path: Path, models: Path, change: Change) -> None:
        survives(self.changed(models / "cnn.keras", tmp_path / "odd.keras", change))

    def test_weights_in_another_file(self, tmp_path: Path, models: Path) -> None:
        held = io.BytesIO()
        with h5py.File(held, "w") as file:
            file.create_dataset("layers/dense/vars/0", (4,), "f4", external=[("/etc/passwd", 0, 16)])
        with zipfile.ZipFile(models / "cnn.keras") as have, zipfile.ZipFile(tmp_path / "bad.keras", "w") as out:
            for name in have.namelist():
                out.writestr(name, held.getvalue() if name == "model.weights.h5" else have.read(name))
        with pytest.raises(ExternalDataOutside, match="layers/dense/vars/0"):
            read_model([("bad.keras", tmp_path / "bad.keras")])

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damage_is_never_our_bug(self, models: Path, tmp_path: Path, data: Any) -> None:
        damaged(models / "sequence.keras", tmp_path / "model.keras", data)
        if (tmp_path / "model.keras").read_bytes()[:4] == b"PK\3\4":
            survives([("model.keras", tmp_path / "model.keras")])


class TestFlatbuffers:
    def changed(self, model: Path, place: Path, change: Callable[[Any], Any]) -> list[tuple[str, Path]]:
        """A copy whose tables were changed."""
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        tables = schema.ModelT.InitFromPackedBuf(bytearray(model.read_bytes()), 0)
        change(tables)
        builder = flatbuffers.Builder()
        builder.Finish(tables.Pack(builder), b"TFL3")
        place.write_bytes(bytes(builder.Output()))
        return [("model.tflite", place)]

    def names(self, files: list[tuple[str, Path]]) -> list[list[str]]:
        signature = read_model(files)
        return [[one.name for one in end] for end in (signature.inputs, signature.outputs)]

    def test_without_a_signature_tensors_name_themselves(self, models: Path, tmp_path: Path) -> None:
        def plain(model: Any) -> None:
            model.signatureDefs = []

        found = self.names(self.changed(models / "cnn.tflite", tmp_path / "a.tflite", plain))
        assert found == [["serving_default_image:0"], ["StatefulPartitionedCall_1:1", "StatefulPartitionedCall_1:0"]]

    def test_several_signatures_name_nothing(self, models: Path, tmp_path: Path) -> None:
        def twice(model: Any) -> None:
            model.signatureDefs *= 2

        inputs, _ = self.names(self.changed(models / "cnn.tflite", tmp_path / "a.tflite", twice))
        assert inputs == ["serving_default_image:0"]

    def test_names_are_told_apart(self, models: Path, tmp_path: Path) -> None:
        def alike(model: Any) -> None:
            model.signatureDefs = []
            graph = model.subgraphs[0]
            for index in (*graph.inputs, *graph.outputs):
                graph.tensors[index].name = b"t"
            graph.tensors[graph.outputs[0]].name = b""

        found = self.names(self.changed(models / "cnn.tflite", tmp_path / "a.tflite", alike))
        assert found == [["t"], ["output_0", "t_1"]]

    def test_weights_in_other_files(self, models: Path, tmp_path: Path) -> None:
        def outside(model: Any) -> None:
            from ai_edge_litert import schema_py_generated as schema

            group = schema.ExternalBufferGroupT()
            group.name = b"/etc/passwd"
            model.externalBufferGroups = [group]

        with pytest.raises(ExternalDataMissing, match="other files"):
            read_model(self.changed(models / "cnn.tflite", tmp_path / "a.tflite", outside))

    def test_python_inside_is_refused(self, models: Path, tmp_path: Path) -> None:
        def python(model: Any) -> None:
            next(code for code in model.operatorCodes if code.customCode).customCode = b"FlexPyFunc"

        with pytest.raises(ModelExecutesCode, match="FlexPyFunc"):
            read_model(self.changed(models / "custom.tflite", tmp_path / "a.tflite", python))

    def test_operators_newer_than_the_table(self, models: Path, tmp_path: Path) -> None:
        def newer(model: Any) -> None:
            model.operatorCodes[0].deprecatedBuiltinCode, model.operatorCodes[0].builtinCode = 127, 9999

        assert "BUILTIN_9999" in read_model(self.changed(models / "cnn.tflite", tmp_path / "a.tflite", newer)).operators

    def test_cut_off(self, models: Path, tmp_path: Path) -> None:
        content = (models / "cnn.tflite").read_bytes()
        for length in (8, 64, len(content) // 2):
            (tmp_path / "a.tflite").write_bytes(content[:length])
            with pytest.raises(ModelUnreadable, match="cut off"):
                read_model([("a.tflite", tmp_path / "a.tflite")])

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damage_is_never_our_bug(self, models: Path, tmp_path: Path, data: Any) -> None:
        damaged(models / "cnn.tflite", tmp_path / "model.tflite", data)
        if (tmp_path / "model.tflite").read_bytes()[4:8] == b"TFL3":
            survives([("model.tflite", tmp_path / "model.tflite")])
