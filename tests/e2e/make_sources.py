"""One small classifier in every source format. A program of its own: frameworks are heavy.

``python make_sources.py FOLDER`` writes them; ``SOURCES`` names them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

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
    from_torch(folder, rng)
    from_tensorflow(folder)
    caffe(folder, rng)


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


CAFFE = f"""
name: "net"
input: "data"
input_shape {{ dim: 1 dim: 3 dim: {SIDE} dim: {SIDE} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
         convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 bias_term: false }} }}
layer {{ name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param {{ use_global_stats: true }} }}
layer {{ name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param {{ bias_term: true }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
         convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 }} }}
layer {{ name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }}
layer {{ name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv2" top: "sum" }}
layer {{ name: "pool" type: "Pooling" bottom: "sum" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "classes" type: "InnerProduct" bottom: "pool" top: "classes"
         inner_product_param {{ num_output: {CLASSES} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "classes" top: "prob" }}
"""


def caffe(folder: Path, rng: np.random.Generator) -> None:
    """A network's text and its weights, as Caffe writes them."""
    from protos.caffe import MESSAGES

    (folder / SOURCES["caffe"]).write_text(CAFFE)
    shapes = {
        "conv1": [(16, 3, 3, 3)],
        "bn1": [(16,), (16,), (1,)],
        "scale1": [(16,), (16,)],
        "conv2": [(16, 16, 3, 3), (16,)],
        "classes": [(CLASSES, 16), (CLASSES,)],
    }
    net = MESSAGES["Weights"]()
    for name, blobs in shapes.items():
        layer = net.layer.add(name=name)
        for index, shape in enumerate(blobs):
            values = rng.normal(0, 0.3, shape).astype(np.float32)
            if name == "bn1":  # mean, variance, and the factor that both are divided by
                values = (values, np.abs(values) + 0.5, np.ones(1, np.float32))[index]
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.append(values.astype("<f4").tobytes())  # packed floats
    (folder / "net.caffemodel").write_bytes(net.SerializeToString())


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]))
