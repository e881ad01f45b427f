"""SavedModel, Keras and LiteRT files: run by their own framework as inspection says, and the same as ONNX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.sources.tensorflow_models import SIDE, feeds, make, network, source

from enginehouse.errors import ConversionFailed, InvalidShapes, ReferenceFailed, UnsupportedOperator
from enginehouse.formats import Format
from enginehouse.targets import parse_target
from protos.saved_model import FILE, SavedModel, served
from workers.backends.base import Session, Setting
from workers.backends.options import Options
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline.sides import load_intermediate
from workers.sources import get, keras_file, saved_model
from workers.sources.tf_runtime import tensorflow

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning"),
]

RUNNING = [
    "cnn", "cnn.zip", "cnn.tar.gz", "cnn.keras", "cnn.tflite", "cnn_int8.tflite", "module", "lone", "pair.keras",
    "sequence.keras",
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    make(folder)
    return folder


def reference(model: Source, work: Path, threads: int = 1) -> Session:
    return get(model.format).reference(model, Setting(threads=threads), work)


def to_onnx(model: Source, work: Path) -> Source:
    return get(model.format).to_onnx(piece(model, work))


def piece(model: Source, work: Path) -> Workpiece:
    return Workpiece(
        source=model,
        target=parse_target("onnxruntime:fp32"),
        options=Options(),
        work=work,
        samples=None,  # type: ignore[arg-type]
    )


def tasks() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("name", RUNNING)
def test_what_inspection_says_is_what_runs_and_onnx_computes_the_same(models: Path, tmp_path: Path, name: str) -> None:
    model = source(models / name)
    session = reference(model, tmp_path)
    made = to_onnx(model, tmp_path)
    assert made.signature.inputs == model.signature.inputs
    onnx = load_intermediate(made, 1).session
    for batch in (1, 3):
        given = feeds(model.signature, batch, seed=batch)
        true, got = session.run(given), onnx.run(given)
        assert list(true) == list(got) == [spec.name for spec in model.signature.outputs]
        for spec in model.signature.outputs:
            assert str(true[spec.name].dtype) == spec.dtype == str(got[spec.name].dtype)
            assert len(spec.shape) == true[spec.name].ndim or spec.shape == [None]
            assert all(
                size in (None, have) for size, have in zip(spec.shape, true[spec.name].shape, strict=False)
            ) or spec.shape == [None]
            step = 1 if spec.dtype == "int8" else 0  # a quantised value on the edge between two
            np.testing.assert_allclose(
                got[spec.name].astype(float), true[spec.name].astype(float), rtol=1e-4, atol=1e-5 + step
            )


def test_the_archive_is_the_folder(models: Path, tmp_path: Path) -> None:
    given = feeds(source(models / "cnn").signature)
    whole = reference(source(models / "cnn"), tmp_path).run(given)
    for name in ("cnn.zip", "cnn.tar.gz"):
        work = tmp_path / name
        work.mkdir()
        packed = source(models / name)
        assert packed.signature == source(models / "cnn").signature
        place = saved_model.folder(packed, work)
        assert place.is_relative_to(work)
        assert saved_model.folder(packed, work) == place  # once unpacked it stays
        for key, array in reference(packed, work).run(given).items():
            np.testing.assert_array_equal(array, whole[key])
    assert saved_model.folder(source(models / "cnn"), tmp_path) == models / "cnn"


def test_a_keras_model_is_exported_under_the_farms_names(models: Path, tmp_path: Path) -> None:
    model = source(models / "pair.keras")
    place = keras_file.saved_model(model, tmp_path)
    assert place.is_relative_to(tmp_path)
    meta, key = served(SavedModel.FromString((place / FILE).read_bytes()))
    assert key == "serving_default"
    assert sorted(meta.signatures[key].inputs) == ["a-weight", "words"]
    assert sorted(meta.signatures[key].outputs) == ["all", "last"]
    given = feeds(model.signature)
    want = keras_file.load(model, tmp_path)(given)
    for name, array in reference(model, tmp_path).run(given).items():
        np.testing.assert_allclose(array, want[name], rtol=1e-5, atol=1e-6)


def test_mixed_precision_is_run_in_float32(tmp_path: Path) -> None:
    tensorflow()
    import keras

    def saved(policy: str) -> Path:
        keras.config.set_dtype_policy(policy)
        try:
            model = network(keras)
        finally:
            keras.config.set_dtype_policy("float32")
        if weights:
            model.set_weights(weights)
        weights[:] = model.get_weights()
        model.save(tmp_path / f"{policy}.keras")
        return tmp_path / f"{policy}.keras"

    weights: list[Any] = []
    plain, mixed = source(saved("float32")), source(saved("mixed_float16"))
    assert [spec.dtype for spec in mixed.signature.outputs] == ["float32", "float32"]
    given = feeds(plain.signature)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    want, got = reference(plain, tmp_path / "one").run(given), reference(mixed, tmp_path / "other").run(given)
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-6)


def test_each_session_has_its_own_threads(models: Path, tmp_path: Path) -> None:
    model = source(models / "cnn")
    given = feeds(model.signature)
    grown, kept = [], []
    for threads in (2, 5):
        before = tasks()
        session = reference(model, tmp_path, threads)
        session.run(given)
        kept.append(session)
        grown.append(tasks() - before)
        assert session.settings()["intra_op_parallelism_threads"] == threads
    assert grown[1] - grown[0] == 3


def test_an_operator_that_onnx_lacks_is_named(models: Path, tmp_path: Path) -> None:
    model = source(models / "inverse")
    matrix = np.eye(3, dtype=np.float32) * 2
    np.testing.assert_allclose(reference(model, tmp_path).run({"x": matrix})["y"], np.eye(3) / 2 + 1)
    with pytest.raises(UnsupportedOperator, match="MatrixInverse") as caught:
        to_onnx(model, tmp_path)
    assert caught.value.where["operators"] == ["MatrixInverse"]
    assert caught.value.where["nodes"] == ["PartitionedCall/MatrixInverse"]


def test_one_name_for_an_input_and_an_output_runs_and_is_no_onnx(models: Path, tmp_path: Path) -> None:
    model = source(models / "alike")
    state = np.asarray([1, 2], np.float32)
    np.testing.assert_array_equal(reference(model, tmp_path).run({"state": state})["state"], [2, 3])
    with pytest.raises(ConversionFailed, match="'state'"):
        to_onnx(model, tmp_path)


def test_a_shape_that_is_not_taken_leaves_the_session_usable(models: Path, tmp_path: Path) -> None:
    for name in ("cnn.tflite", "cnn"):
        model = source(models / name)
        session = reference(model, tmp_path)
        for wrong in ((1, SIDE, SIDE, 4), (SIDE, SIDE, 3)):
            with pytest.raises(InvalidShapes, match="image"):
                session.run({"image": np.zeros(wrong, np.float32)})
        given = feeds(model.signature, batch=4)
        assert {array.shape[0] for array in session.run(given).values()} == {4}


def test_a_custom_operator_of_litert_is_named(models: Path, tmp_path: Path) -> None:
    model = source(models / "custom.tflite")
    with pytest.raises(ReferenceFailed, match="MatrixInverse") as caught:
        reference(model, tmp_path)
    assert caught.value.where["operators"] == ["MatrixInverse"]
    with pytest.raises(UnsupportedOperator) as refused:
        to_onnx(model, tmp_path)
    assert "MatrixInverse" in str(refused.value.where["operators"])


def test_what_slipped_through_inspection_is_not_run(models: Path, tmp_path: Path) -> None:
    """A Lambda in a file that was inspected as another one."""
    tensorflow()
    import keras

    x = keras.Input((3,), name="x")
    bad = keras.Model(x, keras.layers.Lambda(lambda value: value * 2, name="twice")(x))
    bad.save(tmp_path / "bad.keras")
    model = Source(tmp_path / "bad.keras", source(models / "cnn.keras").signature)
    with pytest.raises(ReferenceFailed, match="lambda"):
        reference(model, tmp_path)


def test_a_keras_file_under_any_name_is_read(models: Path, tmp_path: Path) -> None:
    """A model that came as one stream is called model.onnx."""
    model = source(models / "sequence.keras")
    other = tmp_path / "model.onnx"
    other.write_bytes(model.path.read_bytes())
    given = feeds(model.signature)
    got = reference(Source(other, model.signature), tmp_path).run(given)["end"]
    (tmp_path / "own").mkdir()
    np.testing.assert_array_equal(got, reference(model, tmp_path / "own").run(given)["end"])


def test_formats_say_what_runs_them(models: Path) -> None:
    tf = tensorflow()
    assert get(Format.SAVED_MODEL).runtime() == f"tensorflow {tf.__version__} fp32 cpu"
    assert get(Format.KERAS).runtime().endswith(f"on tensorflow {tf.__version__} fp32 cpu")
    assert get(Format.TFLITE).runtime().startswith("litert ")
    model = source(models / "cnn.tflite")
    assert len(get(Format.TFLITE).nodes(model, models)) == sum(model.signature.operators.values())


def test_no_framework_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, workers.sources as s; [s.get(f) for f in ('tf-savedmodel', 'keras', 'tflite')]; "
        "print(sorted({'tensorflow', 'keras', 'tf2onnx', 'ai_edge_litert', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_tensorflow_starts_quietly_and_without_a_gpu() -> None:
    code = (
        "from workers.sources.tf_runtime import tensorflow; tf = tensorflow(); "
        "print(tf.config.get_visible_devices('GPU'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
