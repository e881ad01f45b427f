"""Small models of the TensorFlow family, made once for the tests that read and run them."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.signature import ModelSignature
from scheduler.inspection.model import read_model
from workers.backends.workpiece import Source
from workers.sources.tf_runtime import tensorflow

SIDE, WORDS = 12, 50


def make(folder: Path) -> None:
    """Write all of them to ``folder``."""
    tf = tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    cnn = network(keras)
    cnn.save(folder / "cnn.keras")
    cnn.export(folder / "cnn", verbose=False)
    pair(keras).save(folder / "pair.keras")
    sequence(keras).save(folder / "sequence.keras")
    rates = Rates(tf)
    for name, signatures in {
        "module": {"serving_default": rates.both},
        "inverse": {"serving_default": rates.inverse},
        "python": {"serving_default": rates.python},
        "reading": {"serving_default": rates.reading},
        "alike": {"serving_default": rates.alike},
        "lone": {"odd": rates.both},
        "several": {"one": rates.both, "other": rates.inverse},
        "none": {},
    }.items():
        tf.saved_model.save(rates, str(folder / name), signatures=signatures)
    pack(folder / "cnn", folder / "cnn.zip")
    pack(folder / "cnn", folder / "cnn.tar.gz")
    lite(tf, folder / "cnn", folder / "cnn.tflite")
    lite(tf, folder / "cnn", folder / "cnn_int8.tflite", quantised=True)
    lite(tf, folder / "inverse", folder / "custom.tflite", custom=True)


def network(keras: Any) -> Any:
    """Convolution, batch norm, ReLU, classes: a picture in, logits and probabilities out."""
    x = keras.Input((SIDE, SIDE, 3), name="image")
    a = keras.layers.Conv2D(8, 3, padding="same", strides=2, name="conv")(x)
    a = keras.layers.BatchNormalization(
        moving_mean_initializer="random_normal", moving_variance_initializer="ones", gamma_initializer="random_normal"
    )(a)
    a = keras.layers.Flatten()(keras.layers.MaxPooling2D()(keras.layers.ReLU(name="relu")(a)))
    logits = keras.layers.Dense(5, name="logits")(a)
    return keras.Model(x, [keras.layers.Softmax(name="chances")(logits), logits], name="cnn")


def pair(keras: Any) -> Any:
    """Two inputs of free length, one of them numbers of words; a dict of outputs."""
    words = keras.Input((None,), dtype="int32", name="words")
    weight = keras.Input((None, 1), name="a-weight")
    read = keras.layers.Embedding(WORDS, 6)(words) * weight
    end, state, _ = keras.layers.LSTM(4, return_state=True, return_sequences=True, name="memory")(read)
    return keras.Model({"words": words, "a-weight": weight}, {"last": state, "all": end})


def sequence(keras: Any) -> Any:
    """A Sequential around another model."""
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(7, activation="relu")], name="inner")
    end = keras.layers.Dense(3, name="end")
    return keras.Sequential([keras.Input((6,), name="six"), inner, keras.layers.Dropout(0.5), end])


def Rates(tf: Any) -> Any:  # noqa: N802 - a class whose base is imported late
    """A module without Keras. Its functions are all stored, whichever of them is a signature."""
    spec = tf.TensorSpec

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = tf.Variable(np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32))

        @tf.function(input_signature=[spec([None, 4], tf.float32, "x"), spec([], tf.float32, "rate")])
        def both(self, x: Any, rate: Any) -> Any:
            scaled = tf.matmul(x, self.matrix) * rate
            return {"scaled": scaled, "best": tf.argmax(scaled, -1)}

        @tf.function(input_signature=[spec([3, 3], tf.float32, "x")])
        def inverse(self, x: Any) -> Any:
            return {"y": tf.linalg.inv(x) + 1.0}

        @tf.function(input_signature=[spec([None, 4], tf.float32, "x")])
        def python(self, x: Any) -> Any:
            return {"y": tf.py_function(lambda value: value * 2, [x], tf.float32)}

        @tf.function(input_signature=[spec([], tf.string, "path")])
        def reading(self, path: Any) -> Any:
            return {"bytes": tf.io.read_file(path)}

        @tf.function(input_signature=[spec([2], tf.float32, "state")])
        def alike(self, state: Any) -> Any:
            return {"state": state + 1.0}

    return Module()


def pack(folder: Path, archive: Path) -> Path:
    """A zip of the folder itself, or a tar.gz of what is in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for file in files:
                out.write(file, f"{folder.name}/{file.relative_to(folder)}")
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, ".")
    return archive


def lite(tf: Any, folder: Path, file: Path, *, quantised: bool = False, custom: bool = False) -> None:
    """A flatbuffer of a SavedModel."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.allow_custom_ops = custom
    if quantised:
        generator = np.random.default_rng(0)

        def typical() -> Iterator[list[Any]]:
            for _ in range(8):
                yield [generator.random((1, SIDE, SIDE, 3), dtype=np.float32)]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = typical
        converter.inference_input_type = converter.inference_output_type = tf.int8
    file.write_bytes(converter.convert())


def upload(model: Path) -> list[tuple[str, Path]]:
    """A model as an upload: path in it and place of each file, the model first."""
    if model.is_file():
        return [(model.name, model)]
    files = sorted(file for file in model.rglob("*") if file.is_file())
    listed = [(file.relative_to(model).as_posix(), file) for file in files]
    return sorted(listed, key=lambda entry: entry[0] != "saved_model.pb")


def source(model: Path) -> Source:
    """A model as a worker has it, with its inspected signature."""
    files = upload(model)
    return Source(files[0][1], read_model(files))


def feeds(signature: ModelSignature, batch: int = 2, seed: int = 0) -> dict[str, Any]:
    """Inputs of the signature; every dynamic size but the first is 5."""
    generator = np.random.default_rng(seed)
    made = {}
    for spec in signature.inputs:
        shape = [size if isinstance(size, int) else (batch if at == 0 else 5) for at, size in enumerate(spec.shape)]
        kind = np.dtype(spec.dtype)
        whole = generator.integers(-100, 100, shape) if kind == np.int8 else generator.integers(0, WORDS, shape)
        made[spec.name] = generator.random(shape).astype(kind) if kind.kind == "f" else whole.astype(kind)
    return made


def copied(model: Path, folder: Path) -> Path:
    """The folder's copy, to be damaged."""
    return Path(shutil.copytree(model, folder / model.name))
