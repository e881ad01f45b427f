"""One small classifier in every source format, and samples for it. A program of its own: frameworks are heavy.

``python make_sources.py FOLDER`` writes them; ``SOURCES`` names them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

SOURCES = {
    "onnx": "net.onnx",
    "torch-export": "net.pt2",
    "torchscript": "net.pt",
    "tf-savedmodel": "net_saved",
    "keras": "net.keras",
    "tflite": "net.tflite",
    "caffe": "net.prototxt",
}
SAMPLES = 24
CLASSES = 10
SIDE = 32


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    pictures = rng.random((SAMPLES, 1, 3, SIDE, SIDE), dtype=np.float32)
    from_torch(folder, rng)
    from_tensorflow(folder)
    caffe(folder, rng)
    np.savez(folder / "pictures.npz", x=pictures)
    np.savez(folder / "pictures_last.npz", x=np.moveaxis(pictures, 2, -1).copy())


def from_torch(folder: Path, rng: np.random.Generator) -> None:
    """ONNX, an exported program and a trace of the same network: convolution, batch norm, ReLU; a residual; classes."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            self.second = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            self.pool = nn.MaxPool2d(2)
            self.classes = nn.Linear(16, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            x = self.pool(x + self.second(x))
            return torch.softmax(self.classes(x.mean((2, 3))), -1)

    torch.manual_seed(7)
    net = Net().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.from_numpy(rng.normal(0, 0.1, 16).astype(np.float32))
            module.running_var = torch.from_numpy(rng.uniform(0.5, 1.5, 16).astype(np.float32))
    example = torch.rand(1, 3, SIDE, SIDE)
    program = torch.export.export(net, (example,))
    torch.export.save(program, folder / SOURCES["torch-export"])
    torch.jit.trace(net, example).save(folder / SOURCES["torchscript"])
    torch.onnx.export(
        net,
        (example,),
        folder / SOURCES["onnx"],
        dynamo=False,
        input_names=["x"],
        output_names=["y"],
        opset_version=17,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
    )


def from_tensorflow(folder: Path) -> None:
    """A Keras file, its SavedModel and a flatbuffer of it."""
    import keras
    import tensorflow

    keras.utils.set_random_seed(7)
    x = keras.Input((SIDE, SIDE, 3), batch_size=1, name="x")
    a = keras.layers.Conv2D(16, 3, padding="same")(x)
    a = keras.layers.ReLU()(keras.layers.BatchNormalization()(a))
    b = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(a)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.MaxPooling2D()(keras.layers.Add()([a, b])))
    net = keras.Model(x, keras.layers.Dense(CLASSES, activation="softmax", name="y")(pooled))
    net.save(folder / SOURCES["keras"])
    net.export(folder / SOURCES["tf-savedmodel"], verbose=False)
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder / SOURCES["tf-savedmodel"]))
    (folder / SOURCES["tflite"]).write_bytes(converter.convert())


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]))
